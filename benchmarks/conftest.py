from __future__ import annotations

import pytest

from contenders import missing
from harness import blas_threads
from install import PACKAGES, install_size


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads of each contender")


def pytest_report_header(config):
    return [f"benchmarks: {config.getoption('--threads')} thread(s) each", *missing()]


@pytest.fixture
def threads(request):
    count = request.config.getoption("--threads")
    with blas_threads(count):
        yield count


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("install size, with requirements")
    for package in PACKAGES:
        if size := install_size(package):
            terminalreporter.line(f"{package:12} {size / 1e6:8.1f} MB")
