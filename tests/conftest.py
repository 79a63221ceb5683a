from __future__ import annotations

import pytest

import fastrnn


@pytest.fixture(params=["compiled", "reference"])
def backend(request):
    """Run the test on each backend."""
    with fastrnn.backend(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
