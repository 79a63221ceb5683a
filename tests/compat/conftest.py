"""The backend for a whole module, because hypothesis calls one test many times."""

from __future__ import annotations

import pytest
from support.backends import BACKENDS

import fastrnn


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    """Run the test on each backend."""
    with fastrnn.backend(request.param):
        yield request.param
