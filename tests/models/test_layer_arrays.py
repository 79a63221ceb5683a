"""The arrays of a model by dotted name, and the modes of a model and its layers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.copies import COPIES

from fastrnn.layers import Layer
from fastrnn.models import LanguageModel, Seq2Seq
from fastrnn.training import Adam, clip_grad_norm

IDS = np.random.default_rng(1).integers(3, 9, (4, 5))
OPTIONS = {"num_layers": 2, "dropout": 0.2, "rng": 1}
MODELS = {
    "lm": (lambda: LanguageModel(9, 4, 6, **OPTIONS), (IDS, IDS)),
    "tied": (lambda: LanguageModel(9, 6, 6, tie_weights=True, **OPTIONS), (IDS, IDS)),
    "seq2seq": (
        lambda: Seq2Seq(9, 9, 4, 6, attention="additive", bridge="tanh", **OPTIONS),
        (IDS, None, IDS),
    ),
    "inside": (
        lambda: Seq2Seq(9, 9, 12, 6, attention="dot", context="input_feeding", cell="gru",
                        tie_embeddings=True, **OPTIONS),
        (IDS, [5, 3, 0, 1], IDS),
    ),
}  # fmt: skip


@pytest.fixture(params=MODELS)
def case(request):
    make, batch = MODELS[request.param]
    return make(), batch


def steps(model, batch):
    """Make three steps and return what came of them."""
    optimizer, results = Adam(0.05), []
    for _ in range(3):
        loss = model.loss(*batch)
        model.backward()
        norm = clip_grad_norm(model.grads, 0.5)
        optimizer.update(model.params, model.grads)
        results.append((loss, norm, copy.deepcopy(model.params)))
    return results


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_trains_as_the_model(case, way):
    model, batch = case
    twin = COPIES[way](model)
    np.testing.assert_equal(steps(twin, batch), steps(model, batch))


@pytest.mark.parametrize("way", [*COPIES, "copy"])
def test_copies_of_a_frozen_model_are_not_frozen(case, way):
    model, batch = case
    twin = (COPIES | {"copy": copy.copy})[way](model.freeze())
    assert all(layer.frozen for layer in model.layers.values() if hasattr(layer, "freeze"))
    assert not any(layer.frozen for layer in twin.layers.values())
    np.testing.assert_equal(twin.eval().loss(*batch), model.eval().loss(*batch))
    steps(twin.train(), batch)


def test_a_shallow_copy_has_the_arrays_but_its_own_mode(case):
    model, batch = case
    model.loss(*batch)
    twin = copy.copy(model)
    assert all(twin.params[key] is array for key, array in model.params.items())
    assert all(twin.grads[key] is array for key, array in model.grads.items())
    assert twin.rng is model.rng and type(twin) is type(model)
    twin.eval().loss(*batch)
    assert model.training and all(layer.training for layer in model.layers.values())
    model.backward()
    key = next(key for key in model.params if key.endswith("rnn.b_l0"))
    twin.params[key] = model.params[key] + 1
    assert model.params[key] is not twin.params[key]
    for name, buffer in model.buffers.items():
        assert buffer is not twin.buffers[name]
    steps(model, batch)
    model.reset()
    twin.reset()
    for array in model.params.values():
        array += 0.1
    twin.params[key] = model.params[key]
    np.testing.assert_equal(twin.loss(*batch), model.eval().loss(*batch))


def test_an_array_put_in_the_place_of_another_is_that_of_the_layer(case):
    model, batch = case
    twin = copy.deepcopy(model)
    rng = np.random.default_rng(2)
    for key, param in twin.params.items():
        param[...] = rng.standard_normal(param.shape)
        model.params[key] = param.copy()
    np.testing.assert_equal(steps(model, batch), steps(twin, batch))
    arrays = {key: param.copy() for key, param in twin.params.items()}
    model.params.update(arrays)
    assert all(model.params[key] is array for key, array in arrays.items())
    params = model.params
    params |= arrays
    assert all(params[key] is array for key, array in arrays.items())
    grads = model.grads
    key = next(iter(grads))
    grads[key] = np.ones_like(grads[key])
    assert model.grads[key] is grads[key] and grads[key].all()


def test_what_is_no_array_of_the_model_is_refused(case):
    model, batch = case
    before = model.eval().loss(*batch)
    params = model.params
    key = next(iter(params))
    wrong = [
        (lambda: params.__setitem__("typo", params[key]), "no array is named 'typo'"),
        (lambda: params.__setitem__(key, params[key][:1]), f"{key} must have shape"),
        (lambda: params.__setitem__(key, params[key].astype(int)), f"{key} must be float32"),
        (lambda: params.update({key: params[key] * 0, "typo": 0}), "no array is named 'typo'"),
        (lambda: params.pop(key), "the names of its arrays cannot change"),
        (lambda: params.clear(), "the names of its arrays cannot change"),
        (lambda: params.__delitem__(key), "the names of its arrays cannot change"),
        (lambda: params.setdefault("typo", 0), "the names of its arrays cannot change"),
    ]
    for change, message in wrong:
        with pytest.raises((ValueError, TypeError), match=rf"^\w+: {message}"):
            change()
    model.reset()
    assert model.loss(*batch) == before
    for twin in (copy.deepcopy(params), pickle.loads(pickle.dumps(params)), params.copy()):
        assert type(twin) is dict


def test_a_frozen_array_cannot_be_replaced():
    model = LanguageModel(9, 4, 6, rng=1).freeze()
    with pytest.raises(ValueError, match=r"LSTM: params are frozen, call unfreeze\(\) before"):
        model.params["rnn.b_l0"] = np.zeros(24, "float32")


def test_all_or_no_arrays_of_a_frozen_model_are_replaced(case):
    model, _ = case
    model.freeze()
    before = dict(model.params)
    with pytest.raises(ValueError, match=r"^LSTM|GRU: params are frozen, call unfreeze\(\) before"):
        model.params.update({key: param + 1 for key, param in before.items()})
    assert all(model.params[key] is param for key, param in before.items())


def test_buffers_cannot_be_replaced_one_by_one():
    """They are the state as a whole, which `load_buffers` checks."""
    model = LanguageModel(9, 4, 6, rng=1)
    model.loss(IDS, IDS)
    buffers = model.buffers
    for change in (
        lambda: buffers.__setitem__("state.h", np.zeros((1, 4, 6), "float32")),
        lambda: buffers.update(buffers),
        lambda: buffers.clear(),
        lambda: Seq2Seq(9, 9, 4, 6).buffers.update(typo=1),
    ):
        with pytest.raises(ValueError, match=r"^\w+: buffers are read-only, use load_buffers"):
            change()
    model.load_buffers({name: array * 0 for name, array in buffers.items()})
    assert not model.buffers["state.h"].any()
    assert type(copy.deepcopy(buffers)) is dict


def test_layers_cannot_be_replaced(case):
    model, batch = case
    other = copy.deepcopy(model)
    name = next(name for name in ("vocab_size", "target_size") if hasattr(model, name))
    with pytest.raises(AttributeError, match=rf"^\w+: {name} cannot change, build another model"):
        setattr(model, name, 3)
    for name, part in vars(other).items():
        if isinstance(part, Layer) or hasattr(part, "layers"):
            why = rf"^\w+: {name} cannot be replaced, put arrays into model.params"
            with pytest.raises(AttributeError, match=why):
                setattr(model, name, part)
    for name, layer in other.layers.items():
        with pytest.raises(TypeError, match="does not support item assignment"):
            model.layers[name] = layer
    np.testing.assert_equal(steps(model, batch), steps(other, batch))


@pytest.mark.parametrize("seed", [5, np.random.default_rng(5)])
def test_a_generator_is_that_of_all_layers(case, seed):
    model, batch = case
    twin = copy.deepcopy(model)
    model.rng, twin.rng = copy.deepcopy(seed), np.random.default_rng(5)
    assert all(layer.rng is model.rng for layer in model.layers.values())
    np.testing.assert_equal(steps(model, batch), steps(twin, batch))
    with pytest.raises(ValueError, match=r"^\w+: rng must be"):
        model.rng = "seed"


def test_a_mode_set_by_hand_is_that_of_all_layers(case):
    model, batch = case
    model.loss(*batch)
    model.training = False
    assert not model.training and not any(layer.training for layer in model.layers.values())
    model.loss(*batch)
    with pytest.raises(ValueError, match="backward needs a forward in train mode before it"):
        model.backward()
    model.training = True
    assert model.training and all(layer.training for layer in model.layers.values())


def test_no_backward_after_half_a_forward(case):
    model, batch = case
    model.loss(*batch)
    output = model.layers.get("output") or model.layers["decoder.output"]
    bias, output.params["b"] = output.params["b"], np.zeros(3, "float32")
    with pytest.raises(ValueError, match="b must have shape"):
        model.loss(*batch)
    output.params["b"] = bias
    with pytest.raises(ValueError, match="backward needs a forward in train mode before it"):
        model.backward()


def test_wrong_arguments_leave_the_last_forward(case):
    model, batch = case
    model.loss(*batch)
    with pytest.raises(ValueError, match=r"must be in 0\.\.8"):
        model.loss(*batch[:-1], batch[-1] + 9)
    model.backward()
