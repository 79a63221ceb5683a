"""The recurrent layers that the tests of this folder go through."""

from __future__ import annotations

import pytest
from support.copies import copied

import fastrnn


@fastrnn.cell.define(gates="f n", states="h c m", weights="p", open_gates="f")
def defined(a, s, w):
    """Three states, a product within the step, a mean over the units, sums apart."""
    f = fastrnn.cell.sigmoid(a.f)
    c = f * s.c + (1 - f) * fastrnn.cell.tanh(a.x.n + f * a.h.n)
    m = 0.5 * s.m + fastrnn.cell.mean(c)
    return {"h": fastrnn.cell.tanh(fastrnn.cell.matmul(c, "U") + w.p * m), "c": c, "m": m}


KINDS = {
    "rnn": lambda *a, **k: fastrnn.RNN(*a, **k),
    "relu": lambda *a, **k: fastrnn.RNN(*a, nonlinearity="relu", **k),
    "lstm": lambda *a, **k: fastrnn.LSTM(*a, **k),
    "gru": lambda *a, **k: fastrnn.GRU(*a, **k),
    "gru_before": lambda *a, **k: fastrnn.GRU(*a, reset_after=False, **k),
    "peephole_lstm": lambda *a, **k: fastrnn.PeepholeLSTM(*a, **k),
    "minimal_gru": lambda *a, **k: fastrnn.MinimalGRU(*a, **k),
    "defined": lambda *a, **k: fastrnn.Recurrent(defined, *a, **k),
}


@pytest.fixture(params=["built", "copied"])
def as_made(request):
    """Return what becomes of a layer after its constructor: nothing, or it is copied."""
    if request.param == "built":
        return lambda layer: layer
    return lambda layer: copied(layer, request.node.name)


@pytest.fixture(params=KINDS)
def kind(request, as_made):
    """Make a layer of each kind in turn."""
    return lambda *args, **options: as_made(KINDS[request.param](*args, **options))
