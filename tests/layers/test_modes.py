"""Train and eval mode, and which forward a backward belongs to."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support.copies import COPIES

import fastrnn

RNG = np.random.default_rng(1)
X1, X2 = RNG.standard_normal((2, 3, 4, 5)).astype("float32")
NEEDED = "backward needs a forward in train mode before it"
LAYERS = {
    "gru": fastrnn.GRU(5, 3, 2, rng=1),
    "linear": fastrnn.Linear(5, 2, rng=1),
    "tanh": fastrnn.Tanh(),
    "dropout": fastrnn.Dropout(0.4, rng=1),
    "attention": fastrnn.Attention(),
}


@pytest.fixture(params=LAYERS)
def run(request):
    """Return a layer and its call, which gives the first output."""
    layer = copy.deepcopy(LAYERS[request.param])

    def call(x):
        y = layer(x, x) if request.param == "attention" else layer(x)
        return y[0] if isinstance(y, tuple) else y

    return layer, call


def first(gradients):
    return gradients[0] if isinstance(gradients, tuple) else gradients


def test_a_mode_set_by_hand_is_the_mode(run, backend):
    layer, call = run
    dy = call(X1)
    layer.training = False
    assert layer.training is False
    call(X2)
    with pytest.raises(ValueError, match=NEEDED):
        layer.backward(dy)
    layer.training = True
    assert layer.training is True
    with pytest.raises(ValueError, match=NEEDED):
        layer.backward(dy)
    call(X1)
    assert first(layer.backward(dy)).shape == X1.shape


def test_a_frozen_layer_has_no_train_mode():
    layer = fastrnn.LSTM(5, 3).freeze()
    with pytest.raises(ValueError, match=r"LSTM: train needs unfreeze\(\) first"):
        layer.training = True
    assert not layer.training


def test_a_backward_is_that_of_the_last_forward(run, backend):
    layer, call = run
    start = copy.deepcopy(layer.rng.bit_generator.state)
    y = call(X2)
    wanted = first(layer.backward(np.cos(y))).copy()
    call(X1)
    layer.rng.bit_generator.state = start
    call(X2)
    with pytest.raises((ValueError, TypeError)):
        call(X1.astype("complex"))
    with pytest.raises(ValueError, match="must have shape"):
        layer.backward(np.cos(y)[:2])
    np.testing.assert_array_equal(first(layer.backward(np.cos(y))), wanted)


def test_a_forgotten_forward(run):
    layer, call = run
    dy = call(X1)
    layer.forget()
    with pytest.raises(ValueError, match=NEEDED):
        layer.backward(dy)


@pytest.mark.parametrize("way", [*COPIES, "copy"])
def test_a_copy_has_no_forward(run, way):
    layer, call = run
    dy = call(X1)
    twin = (COPIES | {"copy": copy.copy})[way](layer)
    with pytest.raises(ValueError, match=NEEDED):
        twin.backward(dy)
    layer.backward(dy)
