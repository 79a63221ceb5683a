"""Recurrent layers that are given an embedding and the numbers of its rows."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support.numeric import assert_close
from support.problems import like, parts

LENGTHS = [5, 0, 3, 1]


@pytest.fixture
def layer(kind, backend):
    return kind(3, 2, 3, residual=True, dropout=0.3, dtype="float64", rng=2)


# Few rows are looked up by the cell, many before it.
@pytest.mark.parametrize("rows", [4, 40])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_same_as_on_their_vectors(kind, bidirectional, rows, backend):
    rng = np.random.default_rng(1)
    layer = kind(3, 2, 3, bidirectional=bidirectional, dropout=0.3, dtype="float64", rng=2)
    twin = copy.deepcopy(layer)
    table, ids = rng.standard_normal((rows, 3)), rng.integers(0, rows, (4, 5))
    state = like(layer.init_state(4), rng)
    y, final = layer(ids, state, lengths=LENGTHS, embedding=table)
    wanted, wanted_final = twin(table[ids], state, lengths=LENGTHS)
    for array, want in zip((y, *parts(final)), (wanted, *parts(wanted_final)), strict=True):
        assert_close(array, want, 1e-12)
    dy, dfinal = rng.standard_normal(y.shape), like(final, rng)
    dtable, dstate = layer.backward(dy, dfinal)
    dx, wanted_dstate = twin.backward(dy, dfinal)
    wanted_dtable = np.zeros_like(table)
    np.add.at(wanted_dtable, ids, dx)
    assert_close(dtable, wanted_dtable, 1e-12)
    for array, want in zip(parts(dstate), parts(wanted_dstate), strict=True):
        assert_close(array, want, 1e-12)
    for key, grad in layer.grads.items():
        assert_close(grad, twin.grads[key], 1e-12, key)


def test_a_frozen_layer_takes_them_too(layer):
    rng = np.random.default_rng(1)
    table, ids = rng.standard_normal((4, 3)), rng.integers(0, 4, (4, 5))
    wanted, _ = layer.eval()(table[ids])
    y, _ = layer.freeze()(ids.tolist(), embedding=table)
    assert_close(y, wanted, 1e-12)


@pytest.mark.parametrize(
    ("x", "table", "error", "message"),
    [
        ([[0, 4]], np.zeros((4, 3)), ValueError, r"x must be in 0..3, got 4$"),
        ([[0, -1]], np.zeros((4, 3)), ValueError, r"x must be in 0..3, got -1$"),
        ([0, 1], np.zeros((4, 3)), ValueError, r"x must have shape \(N, T\), got \(2,\)$"),
        ([[0.0]], np.zeros((4, 3)), TypeError, r"x must be integers, got float64$"),
        ([[0]], np.zeros((4, 2)), ValueError, r"embedding must have shape \(V, 3\), got \(4, 2\)$"),
        ([[0]], np.zeros((4, 3), "f4"), TypeError, r"embedding must be float64, got float32$"),
    ],
)
def test_bad_rows(layer, x, table, error, message):
    with pytest.raises(error, match=message):
        layer(x, embedding=table)
