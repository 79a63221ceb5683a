"""Copies of layers, by pickle, deepcopy and file: they compute and train as the layer itself."""

from __future__ import annotations

import copy
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from support.copies import COPIES, DEEP, train

import fastrnn
from fastrnn import _check
from fastrnn.training import SGD, AdaGrad, Adam, AdamW, Momentum, RMSprop

X = np.random.default_rng(1).standard_normal((3, 4, 5)).astype("float32")
IDS = np.random.default_rng(2).integers(0, 5, (3, 4))
LAYERS = {  # a layer and what it is called with
    "rnn": (fastrnn.RNN(5, 3, 2, dropout=0.3, rng=1), (X,)),
    "lstm": (fastrnn.LSTM(5, 3, 2, dropout=0.3, bidirectional=True, rng=1), (X,)),
    "gru": (fastrnn.GRU(5, 3, recurrent_dropout=0.3, rng=1), (X,)),
    "reset before": (fastrnn.GRU(5, 3, 3, residual=True, reset_after=False, rng=1), (X,)),
    "linear": (fastrnn.Linear(5, 2, rng=1), (X,)),
    "embedding": (fastrnn.Embedding(5, 2, rng=1), (IDS,)),
    "tanh": (fastrnn.Tanh(), (X,)),
    "dropout": (fastrnn.Dropout(0.4, rng=1), (X,)),
    "loss": (fastrnn.SoftmaxCrossEntropy(3), (X, IDS)),
    "general": (fastrnn.Attention(5, 5, score="general", rng=1), (X, X)),
    "additive": (fastrnn.Attention(5, 5, score="additive", rng=1), (X, X)),
    "multi_head": (fastrnn.Attention(5, 5, 4, score="multi_head", num_heads=2, rng=1), (X, X)),
}
OPTIMIZERS = (SGD, Momentum, AdaGrad, RMSprop, Adam, AdamW)
RECURRENT = [name for name, (layer, _) in LAYERS.items() if hasattr(layer, "freeze")]


@pytest.fixture(params=LAYERS)
def case(request):
    layer, arguments = LAYERS[request.param]
    return copy.deepcopy(layer), arguments


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_trains_as_the_layer(case, way, backend):
    layer, arguments = case
    twin = COPIES[way](layer)
    np.testing.assert_equal(train(twin, arguments), train(layer, arguments))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("way", COPIES)
def test_every_optimizer_trains_copies(optimizer, way):
    layer, twin = fastrnn.Linear(5, 2, rng=1), COPIES[way](fastrnn.Linear(5, 2, rng=1))
    np.testing.assert_equal(train(twin, (X,), optimizer), train(layer, (X,), optimizer))


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_used_as_it_is(way):
    """What needs no conversion in a layer needs none in its copy: dtypes may be other objects."""
    twin = COPIES[way](fastrnn.Linear(5, 2, rng=1))
    for key, param in twin.params.items():
        assert twin.param(key) is param
        assert _check.float_dtype("test", key, param) is np.dtype("float32")
        assert _check.in_place("test", key, param, param.shape, twin.dtype).base is param.base
    step = COPIES[way](fastrnn.LSTM(5, 3, rng=1))
    for key, param in step.params.items():
        shape, dtype = param.shape, np.dtype("float32")
        assert _check.weights("test", key, param, shape, dtype, as_they_lie=True) is param


def test_a_pool_of_processes_trains_copies():
    layer, arguments = LAYERS["lstm"]
    wanted = train(copy.deepcopy(layer), arguments)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        got = pool.submit(train, layer, arguments).result()
        np.testing.assert_equal(got, wanted)
        assert pool.submit(train, layer.freeze().unfreeze().train(), arguments).result()


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("way", [*COPIES, "copy"])
def test_copies_of_a_frozen_layer_are_not_frozen(name, way, backend):
    layer, arguments = LAYERS[name]
    frozen = copy.deepcopy(layer).freeze()
    twin = (COPIES | {"copy": copy.copy})[way](frozen)
    assert frozen.frozen and not twin.frozen
    twin.params.update(twin.params)  # a frozen layer refuses it
    np.testing.assert_equal(twin.eval()(*arguments), frozen(*arguments))
    before = copy.deepcopy(dict(frozen.params))
    train(twin.train(), arguments)
    np.testing.assert_equal(dict(frozen.params), before)


@pytest.mark.parametrize("way", [*DEEP, "copy"])
def test_a_copy_keeps_what_the_layer_drew_and_its_mode(way):
    layer = fastrnn.LSTM(5, 3, rng=1).eval()
    twin = (DEEP | {"copy": copy.copy})[way](layer)
    assert not twin.training
    assert twin.rng.bit_generator.state == layer.rng.bit_generator.state


def test_parameters_in_a_mapped_file_are_trained(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "W.npy", "w+", "float32", (5, 2))
    layer, twin = fastrnn.Linear(5, 2, rng=1), fastrnn.Linear(5, 2, rng=1)
    mapped[...] = layer.params["W"]
    layer.params["W"] = mapped
    np.testing.assert_equal(train(layer, (X,)), train(twin, (X,)))
    np.testing.assert_array_equal(np.load(tmp_path / "W.npy"), twin.params["W"])
