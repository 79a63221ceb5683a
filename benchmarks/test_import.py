"""How long until Python has started and imported the package?"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from install import PACKAGES, run_import

INSTALLED = [package for package in PACKAGES if find_spec(package)]


@pytest.mark.benchmark(group="import time, with the start of Python")
@pytest.mark.parametrize("package", INSTALLED)
def test_import_time(benchmark, package):
    benchmark.pedantic(run_import, (package,), rounds=5, warmup_rounds=1)
