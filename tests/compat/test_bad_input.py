"""What every wrong argument is told, in one line, and that it leaves a layer as it was."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest

from fastrnn.compat import time_layers as ours

RNG = np.random.default_rng(4)


def f4(*shape):
    return RNG.standard_normal(shape).astype("float32")


def lstm_params(D=4, H=3):
    return f4(D, 4 * H), f4(H, 4 * H), f4(4 * H)


def lstm(**options):
    layer = ours.TimeLSTM(*lstm_params(), **options)
    layer.forward(f4(2, 5, 4))
    return layer


CONSTRUCTORS = {
    "a list": (
        lambda: ours.TimeRNN([[1.0]], f4(1, 1), f4(1)),
        TypeError,
        "TimeRNN: Wx must be an array, got list",
    ),
    "integers": (
        lambda: ours.TimeRNN(np.ones((4, 3), int), f4(3, 3), f4(3)),
        TypeError,
        "TimeRNN: Wx must be float32 or float64, got int64",
    ),
    "half precision": (
        lambda: ours.TimeAffine(f4(4, 3), f4(3).astype("f2")),
        TypeError,
        "TimeAffine: b must be float32 or float64, got float16",
    ),
    "not gates": (
        lambda: ours.LSTM(f4(4, 12), f4(3, 13), f4(12)),
        ValueError,
        "LSTM: Wh must have shape (3, 12), got (3, 13)",
    ),
    "gates of another cell": (
        lambda: ours.TimeGRU(*lstm_params()),
        ValueError,
        "TimeGRU: Wx must have shape (4, 9), got (4, 12)",
    ),
    "bias": (
        lambda: ours.GRU(f4(4, 9), f4(3, 9), f4(1, 9)),
        ValueError,
        "GRU: b must have shape (9,), got (1, 9)",
    ),
    "one direction": (
        lambda: ours.TimeBiLSTM(*lstm_params(), f4(5, 12), f4(3, 12), f4(12)),
        ValueError,
        "TimeBiLSTM: Wx2 must have shape (4, 12), got (5, 12)",
    ),
    "a flat table": (
        lambda: ours.TimeEmbedding(f4(12)),
        ValueError,
        "TimeEmbedding: W must have shape (V, D), got (12,)",
    ),
    "affine bias": (
        lambda: ours.TimeAffine(f4(4, 3), f4(4)),
        ValueError,
        "TimeAffine: b must have shape (3,), got (4,)",
    ),
    "ratio": (
        lambda: ours.TimeDropout(1.0),
        ValueError,
        "TimeDropout: dropout_ratio must be in [0, 1), got 1.0",
    ),
}


@pytest.mark.parametrize("case", CONSTRUCTORS)
def test_constructors(case):
    make, error, message = CONSTRUCTORS[case]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def replaced(layer, index, param):
    layer.params[index] = param
    return layer


CALLS = {
    "two axes": (
        lstm,
        lambda layer: layer.forward(f4(5, 4)),
        ValueError,
        "TimeLSTM: xs must have shape (N, T, 4), got (5, 4)",
    ),
    "another width": (
        lstm,
        lambda layer: layer.forward(f4(2, 5, 3)),
        ValueError,
        "TimeLSTM: xs must have shape (N, T, 4), got (2, 5, 3)",
    ),
    "integers": (
        lstm,
        lambda layer: layer.forward(np.ones((2, 5, 4), int)),
        TypeError,
        "TimeLSTM: xs must be float32 or float64, got int64",
    ),
    "ragged": (
        lstm,
        lambda layer: layer.forward([[[1.0]], [[1.0, 2.0]]]),
        ValueError,
        "TimeLSTM: xs must be an array, got a ragged list",
    ),
    "gradient": (
        lstm,
        lambda layer: layer.backward(f4(2, 4, 3)),
        ValueError,
        "TimeLSTM: dhs must have shape (2, 5, 3), got (2, 4, 3)",
    ),
    "no forward": (
        lambda: ours.TimeLSTM(*lstm_params()),
        lambda layer: layer.backward(f4(2, 5, 3)),
        ValueError,
        "TimeLSTM: backward needs a forward before it",
    ),
    "another batch": (
        lambda: lstm(stateful=True),
        lambda layer: (layer.forward(f4(2, 5, 4)), layer.forward(f4(7, 5, 4))),
        ValueError,
        "TimeLSTM: h must have shape (7, 3), got (2, 3)",
    ),
    "state": (
        lambda: lstm(stateful=True),
        lambda layer: layer.set_state(f4(2, 4)),
        ValueError,
        "TimeLSTM: h must have shape (N, 3), got (2, 4)",
    ),
    "second state": (
        lambda: lstm(stateful=True),
        lambda layer: layer.set_state(f4(2, 3), f4(3)),
        ValueError,
        "TimeLSTM: c must have shape (N, 3), got (3,)",
    ),
    "replaced": (
        lambda: replaced(lstm(), 1, f4(4, 16)),
        lambda layer: layer.forward(f4(2, 5, 4)),
        ValueError,
        "TimeLSTM: Wh must have shape (3, 12), got (4, 16)",
    ),
    "previous state": (
        lambda: ours.LSTM(*lstm_params()),
        lambda layer: layer.forward(f4(2, 4), f4(2, 3), f4(1, 3)),
        ValueError,
        "LSTM: c_prev must have shape (2, 3), got (1, 3)",
    ),
    "next state": (
        lambda: ours.LSTM(*lstm_params()),
        lambda layer: (
            layer.forward(f4(2, 4), f4(2, 3), f4(2, 3)),
            layer.backward(f4(2, 3), f4(2, 4)),
        ),
        ValueError,
        "LSTM: dc_next must have shape (2, 3), got (2, 4)",
    ),
    "no step": (
        lambda: ours.LSTM(*lstm_params()),
        lambda layer: layer.backward(f4(2, 3), f4(2, 3)),
        ValueError,
        "LSTM: backward needs a forward before it",
    ),
    "no forward in both directions": (
        lambda: ours.TimeBiLSTM(*lstm_params(), *lstm_params()),
        lambda layer: layer.backward(f4(2, 5, 6)),
        ValueError,
        "TimeBiLSTM: backward needs a forward before it",
    ),
    "id": (
        lambda: ours.TimeEmbedding(f4(7, 2)),
        lambda layer: layer.forward(np.array([[1, 7]])),
        ValueError,
        "TimeEmbedding: xs must be in 0..6, got 7",
    ),
    "ids": (
        lambda: ours.TimeEmbedding(f4(7, 2)),
        lambda layer: layer.forward(f4(2, 2)),
        TypeError,
        "TimeEmbedding: xs must be integers, got float32",
    ),
    "affine": (
        lambda: ours.TimeAffine(f4(4, 3), f4(3)),
        lambda layer: layer.forward(f4(2, 5, 3)),
        ValueError,
        "TimeAffine: x must have shape (..., 4), got (2, 5, 3)",
    ),
    "no mask": (
        ours.TimeDropout,
        lambda layer: layer.backward(f4(2, 5, 3)),
        ValueError,
        "TimeDropout: backward needs a forward with train_flg before it",
    ),
    "target": (
        ours.TimeSoftmaxWithLoss,
        lambda layer: layer.forward(f4(2, 5, 3), np.full((2, 5), 3)),
        ValueError,
        "TimeSoftmaxWithLoss: ts must be in 0..2 or ignore_index (-1), got 3",
    ),
    "one-hot": (
        ours.TimeSoftmaxWithLoss,
        lambda layer: layer.forward(f4(2, 5, 3), np.ones((2, 5, 4))),
        ValueError,
        "TimeSoftmaxWithLoss: one-hot ts must have shape (2, 5, 3), got (2, 5, 4)",
    ),
    "binary": (
        ours.TimeSigmoidWithLoss,
        lambda layer: layer.forward(f4(2, 5), np.full((2, 5), 2)),
        ValueError,
        "TimeSigmoidWithLoss: ts must be in 0..1, got 2",
    ),
    "encoder": (
        ours.TimeAttention,
        lambda layer: layer.forward(f4(2, 5, 3), f4(2, 4, 4)),
        ValueError,
        "TimeAttention: hs_dec must have shape (2, T_dec, 3), got (2, 4, 4)",
    ),
    "query": (
        ours.Attention,
        lambda layer: layer.forward(f4(2, 5, 3), f4(3)),
        ValueError,
        "Attention: h must have shape (2, 3), got (3,)",
    ),
    "weights": (
        ours.WeightSum,
        lambda layer: layer.forward(f4(2, 5, 3), f4(2, 3)),
        ValueError,
        "WeightSum: a must have shape (2, 5), got (2, 3)",
    ),
    "no weights": (
        ours.AttentionWeight,
        lambda layer: layer.backward(f4(2, 5)),
        ValueError,
        "AttentionWeight: backward needs a forward before it",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls(case):
    make, call, error, message = CALLS[case]
    layer = make()
    grads = copy.deepcopy(layer.grads)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call(layer)
    np.testing.assert_equal(layer.grads, grads)


def test_a_failed_call_keeps_the_state_and_the_last_forward():
    layer = lstm(stateful=True)
    h, c, dhs = layer.h, layer.c, f4(2, 5, 3)
    dxs = layer.backward(dhs)
    for wrong in (f4(7, 5, 4), f4(2, 5, 3), f4(7, 1, 4)):
        with pytest.raises(ValueError, match="must have shape"):
            layer.forward(wrong)
    assert layer.h is h and layer.c is c
    np.testing.assert_array_equal(layer.backward(dhs), dxs)
