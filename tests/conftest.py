from __future__ import annotations

import os

import pytest
from support.backends import BACKENDS

import fastrnn
from fastrnn.ops._backend import HAS_KERNELS, NO_KERNELS

collect_ignore = []
if not HAS_KERNELS:
    collect_ignore.append("_kernels")  # which the tests import
    os.environ.setdefault("FASTRNN_BACKEND", "reference")  # other processes need not warn


def pytest_report_header():
    """Say why tests are missing."""
    if not HAS_KERNELS:
        return f"fastrnn: {NO_KERNELS}; tests of the kernels are left out"
    return None


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Run the test on each backend."""
    with fastrnn.backend(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
