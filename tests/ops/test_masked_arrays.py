"""Arrays of `numpy.ma` are refused: their mask would be lost."""

from __future__ import annotations

import numpy as np
import pytest
from support.problems import recurrent_problem

import fastrnn
from fastrnn import ops

RNG = np.random.default_rng(1)
X, W, B = RNG.standard_normal((3, 4, 5)), RNG.standard_normal((5, 2)), np.zeros(2)
IDS, PARAM = np.array([[0, 1, 2, 4]] * 3), RNG.random((5, 2))
LSTM = recurrent_problem("lstm", RNG, N=3, T=4, D=5)
LAYER = fastrnn.GRU(5, 2, dtype="float64", rng=1)
Y, _ = LAYER(X)

CALLS = {  # a function, and arguments each of which may not have a mask
    "linear": (ops.linear, [X, W, B]),
    "linear backward": (lambda dy: ops.linear_backward(dy, ops.linear_forward(X, W)[1]), [Y]),
    "embedding": (ops.embedding, [IDS, W]),
    "tanh": (ops.tanh, [X]),
    "dropout": (lambda x: ops.dropout(x, 0.5, rng=RNG), [X]),
    "cross entropy": (ops.softmax_cross_entropy, [X, IDS]),
    "attention": (lambda q, k, v, n: ops.attention(q, k, v, lengths=n), [X, X, X, IDS[:, 3]]),
    "lstm": (ops.lstm, list(LSTM.arguments.values())),
    "lstm step": (ops.lstm_step, [X[:, 0], *list(LSTM.arguments.values())[1:]]),
    "sgd": (lambda p, g: ops.sgd_update(p, g, lr=0.1), [PARAM, PARAM]),
    "norm": (ops.squared_norm, [X]),
    "layer": (lambda x, h, n: LAYER(x, h, lengths=n), [X, LAYER.init_state(3), IDS[:, 3]]),
    "layer of ids": (lambda x, table: LAYER(x, embedding=table), [IDS % 4, X[0]]),
    "layer backward": (LAYER.backward, [Y]),
    "layer step": (LAYER.step, [X[:, 0], LAYER.init_state(3)]),
    "frozen": (fastrnn.GRU(5, 2, dtype="float64").freeze(), [X]),
    "frozen step": (fastrnn.GRU(5, 2, dtype="float64").freeze().step, [X[:, 0]]),
}


@pytest.mark.parametrize("masked", [np.ma.masked_array, lambda a: np.ma.masked_equal(a, a.flat[0])])
@pytest.mark.parametrize("name", CALLS)
def test_masks_are_refused(name, masked, backend):
    call, arguments = CALLS[name]
    call(*arguments)
    for k, argument in enumerate(arguments):
        for given in (masked(argument), list(masked(argument))):
            if isinstance(given, list) and (argument.ndim == 1 or (name == "sgd" and k == 0)):
                continue  # plain numbers, or no array to update in place
            spoiled = [*arguments[:k], given, *arguments[k + 1 :]]
            with pytest.raises(TypeError, match=r"^\w+: \w+ must be without a mask, got a masked"):
                call(*spoiled)


def test_a_parameter_with_a_mask_is_refused():
    layer = fastrnn.Linear(5, 2, dtype="float64")
    layer.params["W"] = np.ma.masked_array(W)
    with pytest.raises(TypeError, match=r"^Linear: W must be without a mask, got a masked array$"):
        layer(X)
