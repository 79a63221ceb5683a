from __future__ import annotations

import signal

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def default_sigint():
    """Shells start background jobs with SIGINT ignored; the tests want Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng():
    return np.random.default_rng(12)
