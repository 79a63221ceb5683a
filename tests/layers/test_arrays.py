"""What can be written to a layer takes effect or raises: its arrays by name, its arguments."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.copies import DEEP

import fastrnn

X = np.random.default_rng(1).standard_normal((3, 4, 5)).astype("float32")
LAYERS = {
    "lstm": lambda: fastrnn.LSTM(5, 3, 2, rng=1),
    "linear": lambda: fastrnn.Linear(5, 2, rng=1),
    "tanh": lambda: fastrnn.Tanh(),
}
WAYS = {"as made": lambda layer: layer, "copy": copy.copy, **DEEP}
WAYS["thawed"] = lambda layer: layer.freeze().unfreeze() if hasattr(layer, "freeze") else layer
FIXED = "the names of its arrays cannot change"
CHANGES = {
    "a new name": (lambda arrays: arrays.__setitem__("typo", X), "no array is named 'typo'"),
    "new names": (lambda arrays: arrays.update(typo=X), "no array is named 'typo'"),
    "del": (lambda arrays: arrays.__delitem__(next(iter(arrays), "b")), FIXED),
    "pop": (lambda arrays: arrays.pop("b_l0", None), FIXED),
    "popitem": (lambda arrays: arrays.popitem(), FIXED),
    "clear": (lambda arrays: arrays.clear(), FIXED),
    "setdefault": (lambda arrays: arrays.setdefault("typo", X), FIXED),
}


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_names_of_arrays_cannot_change(make, way, change):
    layer = WAYS[way](make())
    alter, message = CHANGES[change]
    for arrays in (layer.params, layer.grads):
        before = dict(arrays)
        with pytest.raises(ValueError, match=rf"^{type(layer).__name__}: {message}"):
            alter(arrays)
        assert dict(arrays) == before


def test_all_or_no_arrays_are_put(backend):
    layer, other = fastrnn.Linear(5, 2, rng=1), fastrnn.Linear(5, 2, rng=2)
    before = dict(layer.params)
    with pytest.raises(ValueError, match="no array is named 'typo'"):
        layer.params.update({"W": other.params["W"], "typo": X})
    assert all(layer.params[key] is array for key, array in before.items())
    params = layer.params
    params |= other.params
    assert params is layer.params
    np.testing.assert_array_equal(layer(X), other(X))


def test_other_dictionaries_of_arrays(make, backend):
    """What is assigned to `params` is put into it."""
    layer, other = make(), make()
    for array in other.params.values():
        array += 0.5
    layer.params = dict(other.params)
    assert all(layer.params[key] is array for key, array in other.params.items())
    np.testing.assert_equal(layer(X), other(X))
    for wrong in ({**other.params, "typo": X}, dict(list(other.params.items())[1:])):
        if wrong.keys() != other.params.keys():
            with pytest.raises(ValueError, match=r"^\w+: params must have the names .*, got"):
                layer.params = wrong
    layer.grads = {key: grad + 1 for key, grad in layer.grads.items()}
    assert all(grad.all() for grad in layer.grads.values())


def test_a_frozen_layer_keeps_its_dictionary():
    layer, other = fastrnn.GRU(5, 3, rng=1), fastrnn.GRU(5, 3, rng=2)
    params = layer.params
    layer.freeze()
    frozen = r"^GRU: params are frozen, call unfreeze\(\) before"
    with pytest.raises(ValueError, match=frozen):
        layer.params = other.params
    with pytest.raises(ValueError, match=frozen):
        params["b_l0"] = other.params["b_l0"]
    assert layer.unfreeze().params is params
    params |= other.params
    np.testing.assert_equal(layer(X), other(X))


def test_a_copy_of_a_dictionary_is_an_ordinary_one(make):
    layer = make()
    for arrays in (layer.params, layer.grads):
        for twin in (
            copy.copy(arrays), copy.deepcopy(arrays), pickle.loads(pickle.dumps(arrays)),
            arrays.copy(),
        ):  # fmt: skip
            assert type(twin) is dict
            twin["new"] = X
            assert "new" not in arrays


def test_a_shallow_copy_has_the_arrays_but_its_own_dictionary():
    layer = fastrnn.Linear(5, 2, rng=1)
    twin = copy.copy(layer)
    assert all(twin.params[key] is array for key, array in layer.params.items())
    twin.params["W"] = np.zeros((5, 2), "float32")
    assert layer.params["W"].any()


ARGUMENTS = {
    "reset_after": lambda: fastrnn.GRU(5, 3, rng=1),
    "nonlinearity": lambda: fastrnn.RNN(5, 3, rng=1),
    "options": lambda: fastrnn.RNN(5, 3, rng=1),
    "bidirectional": lambda: fastrnn.LSTM(5, 3, rng=1),
    "directions": lambda: fastrnn.LSTM(5, 3, rng=1),
    "residual": lambda: fastrnn.LSTM(5, 5, 3, rng=1).freeze(),
    "num_layers": lambda: fastrnn.LSTM(5, 3, 2, rng=1),
    "hidden_size": lambda: fastrnn.LSTM(5, 3, rng=1),
    "dtype": lambda: fastrnn.Linear(5, 3, rng=1),
    "bias": lambda: fastrnn.Linear(5, 3, rng=1),
    "num_embeddings": lambda: fastrnn.Embedding(5, 3, rng=1),
    "score": lambda: fastrnn.Attention(5, 5, score="general", rng=1),
}


@pytest.mark.parametrize("way", DEEP)
@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_a_layer_was_built_for_cannot_change(name, way):
    layer = DEEP[way](ARGUMENTS[name]())
    before = getattr(layer, name)
    with pytest.raises(AttributeError, match=rf"^\w+: {name} cannot change, build another layer"):
        setattr(layer, name, 7)
    assert getattr(layer, name) is before


def test_rates_may_change():
    layer = fastrnn.LSTM(5, 3, 2, rng=1)
    layer.dropout, layer.recurrent_dropout = 0.5, 0.25
    assert not np.array_equal(layer(X)[0], layer(X)[0])
    assert layer.config()["dropout"] == 0.5
    dropout, loss = fastrnn.Dropout(0.0), fastrnn.SoftmaxCrossEntropy()
    dropout.p, loss.label_smoothing, loss.ignore_index = 0.5, 0.1, 0
    assert not np.array_equal(dropout(X), X)
    assert loss(X, np.ones((3, 4), int)) != fastrnn.SoftmaxCrossEntropy()(X, np.ones((3, 4), int))


def test_a_subclass_may_set_arguments_that_it_passes_on():
    class Counted(fastrnn.LSTM):
        def __init__(self, hidden_size):
            self.hidden_size = hidden_size
            super().__init__(5, hidden_size, rng=1)

    np.testing.assert_equal(Counted(3)(X), fastrnn.LSTM(5, 3, rng=1)(X))
