"""The recurrent layers that the tests of this folder go through."""

from __future__ import annotations

import pytest

import fastrnn

KINDS = {
    "rnn": lambda *a, **k: fastrnn.RNN(*a, **k),
    "relu": lambda *a, **k: fastrnn.RNN(*a, nonlinearity="relu", **k),
    "lstm": lambda *a, **k: fastrnn.LSTM(*a, **k),
    "gru": lambda *a, **k: fastrnn.GRU(*a, **k),
    "gru_before": lambda *a, **k: fastrnn.GRU(*a, reset_after=False, **k),
}


@pytest.fixture(params=KINDS)
def kind(request):
    """Make a layer of each kind in turn."""
    return KINDS[request.param]
