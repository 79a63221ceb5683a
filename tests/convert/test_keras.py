"""Keras to fastrnn to Keras: the same outputs at every stop. Keras runs on PyTorch."""

from __future__ import annotations

import copy
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import assert_close
from support.unchanged import unchanged

import fastrnn as fr
from fastrnn.convert import from_keras, load_keras_weights, to_keras_weights
from fastrnn.convert.keras_activations import FUNCTIONS

torch = pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
K = keras.layers

# Keras hands its arrays to NumPy in the way of NumPy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# On PyTorch, Keras's operators of two float64 arrays compute in float32; that no digit of the
# weights is lost is for the tests without Keras's arithmetic to show.
RTOL = 2e-5
DTYPES = ["float32", "float64"]
SIZES = st.integers(1, 7)
CELLS = {
    "SimpleRNN": (fr.RNN, {}),
    "SimpleRNN relu": (fr.RNN, {"activation": "relu"}),
    "LSTM": (fr.LSTM, {}),
    "GRU after": (fr.GRU, {"reset_after": True}),
    "GRU before": (fr.GRU, {"reset_after": False}),
}


def tanh(x):
    """Somebody's function, which may compute anything."""
    return x


def keras_layer(cell, H, bidirectional=False, **options):
    name, *_ = cell.split()
    options = {**CELLS[cell][1], **options, "return_sequences": True, "return_state": True}
    layer = getattr(K, name)(H, **options)
    return K.Bidirectional(layer, dtype=options.get("dtype")) if bidirectional else layer


def randomise(layer, seed=0):
    rng = np.random.default_rng(seed)
    layer.set_weights(
        [rng.uniform(-0.8, 0.8, w.shape).astype(w.dtype) for w in layer.get_weights()]
    )
    return layer


def built(layer, D=3, seed=0):
    layer.build((None, None, D))
    return randomise(layer, seed)


def call(layer, x):
    """Return the results as arrays."""
    results = layer(torch.tensor(x))
    if not isinstance(results, (list, tuple)):
        return keras.ops.convert_to_numpy(results)
    return [keras.ops.convert_to_numpy(result) for result in results]


def run_keras(layer, x):
    """Return y and the final states, those of the backward direction last."""
    results = call(layer, x)
    if isinstance(layer, K.Bidirectional) and len(results) == 5:  # h and c of one, then the other
        y, h, c, h_back, c_back = results
        return [y, np.stack((h, h_back)), np.stack((c, c_back))]
    y, *states = results
    if isinstance(layer, K.Bidirectional):
        return [y, np.stack(states)]
    return [y, *(state[None] for state in states)]


def nonzero_weights(layer):
    """Return the weights without the biases of zeros that a layer without biases has got."""
    return [weight for weight in layer.get_weights() if weight.any()]


def run_ours(layer, x):
    y, final = layer(x)
    return [y, *(final if isinstance(final, tuple) else (final,))]


@settings(max_examples=60, deadline=None)
@given(
    cell=st.sampled_from(sorted(CELLS)),
    bidirectional=st.booleans(),
    use_bias=st.booleans(),
    D=SIZES,
    H=SIZES,
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_recurrent_round_trip(cell, bidirectional, use_bias, D, H, dtype, seed):
    theirs = built(
        keras_layer(cell, H, bidirectional, use_bias=use_bias, dtype=dtype), D, seed=seed
    )
    x = np.random.default_rng(seed).standard_normal((3, 4, D)).astype(dtype)
    wanted = run_keras(theirs, x)

    layer = from_keras(theirs)
    assert type(layer) is CELLS[cell][0]
    back = built(keras_layer(cell, H, bidirectional, dtype=dtype), D, seed=seed + 1)
    back.set_weights(to_keras_weights(layer))
    for ours in (run_ours(layer, x), run_keras(back, x)):
        for array, like in zip(ours, wanted, strict=True):
            assert_close(array, like, RTOL)
    if not use_bias or cell != "GRU after":  # whose two biases of z and r have become one
        for array, like in zip(nonzero_weights(back), nonzero_weights(theirs), strict=True):
            np.testing.assert_array_equal(array, like)


def gradients_of_keras(layer, x):
    """Return y and, of the sum of its squares / 2, the gradients of x and of the weights."""
    x = torch.tensor(x, requires_grad=True)
    y = layer(x)[0]
    inputs = [x, *(variable.value for variable in layer.trainable_variables)]
    gradients = torch.autograd.grad(y.square().sum() / 2, inputs)
    return [array.detach().numpy() for array in (y, *gradients)]


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM", "GRU after", "GRU before"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_activation_forward_and_backward(cell, name):
    other = {} if cell == "SimpleRNN" else {"recurrent_activation": name}
    for options in [{"activation": name}, {"activation": "elu", **other}]:
        theirs = built(keras_layer(cell, 5, **options))
        theirs.set_weights([array / 4 for array in theirs.get_weights()])  # exponentials grow
        x = np.random.default_rng(1).standard_normal((3, 4, 3)).astype(np.float32)
        layer = from_keras(theirs)
        y, *wanted = gradients_of_keras(theirs, x)
        ours, _ = layer(x)
        dx, _ = layer.backward(ours)
        same = copy.deepcopy(layer)
        for key, grad in layer.grads.items():
            same.params[key] = grad
        if cell == "GRU after":  # whose two biases of z and r are one
            wanted[3][1, :10] = 0
        for came, like in zip([ours, dx, *to_keras_weights(same)], [y, *wanted], strict=True):
            atol = 1e-5 * max(1, np.abs(like).max())  # some functions of small values cancel
            np.testing.assert_allclose(came, like, rtol=0, atol=atol)


@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"SimpleRNN relu"}))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_other_activations_come_back(cell, bidirectional, dtype):
    theirs = built(keras_layer(cell, 4, bidirectional, activation="softsign", dtype=dtype))
    layer = from_keras(theirs)
    assert type(layer) is fr.Recurrent and layer.dtype == dtype
    x = np.random.default_rng(2).standard_normal((3, 5, 3)).astype(dtype)
    for ours, wanted in zip(run_ours(layer, x), run_keras(theirs, x), strict=True):
        assert_close(ours, wanted, RTOL)
    with fr.backend("reference"):
        for ours, wanted in zip(run_ours(layer, x), run_keras(theirs, x), strict=True):
            assert_close(ours, wanted, RTOL)
    weights = to_keras_weights(layer)
    theirs.set_weights(weights)
    for ours, wanted in zip(run_ours(layer, x), run_keras(theirs, x), strict=True):
        assert_close(ours, wanted, RTOL)
    load_keras_weights(layer, [2 * array for array in weights])
    for came, array in zip(to_keras_weights(layer), weights, strict=True):
        np.testing.assert_array_equal(came, 2 * array)


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.0.1", 1 / 6)])
def test_the_hard_sigmoid_is_that_of_the_version(monkeypatch, version, slope):
    theirs = built(K.SimpleRNN(2, activation="hard_sigmoid"))
    monkeypatch.setattr(keras, "__version__", version)
    layer = from_keras(theirs)
    for param in layer.params.values():
        param[...] = 0
    layer.params["b_l0"][...] = [1, 10]
    y, _ = layer(np.zeros((1, 1, 3), np.float32))
    np.testing.assert_allclose(y[0, 0], [slope + 0.5, 1], rtol=1e-6)


def test_a_cell_of_other_weights_is_not_keras_s():
    named = fr.cell.to_dict(from_keras(built(K.LSTM(4, activation="relu"))).cell)
    fake = fr.cell.to_dict(fr.PeepholeLSTM(3, 4).cell) | {"name": named["name"]}
    for layer in fr.PeepholeLSTM(3, 4), fr.Recurrent(fake, 3, 4):
        with pytest.raises(TypeError, match=r"^to_keras_weights: layer must be one of RNN, "):
            to_keras_weights(layer)


def test_weights_of_a_cell_of_any_name():
    theirs = built(K.LSTM(4, activation="relu"))
    layer = from_keras(theirs)
    named = fr.cell.to_dict(layer.cell) | {"name": "mine", "title": "Mine"}
    mine = fr.Recurrent(named, 3, 4)
    load_keras_weights(mine, theirs.get_weights())
    for came, wanted in zip(to_keras_weights(mine), to_keras_weights(layer), strict=True):
        np.testing.assert_array_equal(came, wanted)


@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"SimpleRNN relu"}))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_weights_alone(cell, bidirectional, dtype):
    theirs = built(keras_layer(cell, 4, bidirectional, dtype=dtype))
    layer, same = from_keras(theirs.get_weights()), from_keras(theirs)
    assert layer.config() == same.config()
    for key, param in same.params.items():
        np.testing.assert_array_equal(layer.params[key], param)


@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"SimpleRNN relu"}))
def test_there_and_back_is_bitwise_the_same(cell, dtype):
    layer = from_keras(built(keras_layer(cell, 4, True, dtype=dtype)))
    weights = to_keras_weights(layer)
    again = from_keras(weights)
    for key, param in layer.params.items():
        np.testing.assert_array_equal(again.params[key], param)
    if cell == "GRU after":  # z and r have one bias here, so it is in the first row
        assert not weights[2][1, :8].any() and weights[2][1, 8:].all()


def test_two_different_layers_in_a_bidirectional():
    forward = K.LSTM(4, return_sequences=True, return_state=True)
    backward = K.LSTM(4, return_sequences=True, return_state=True, go_backwards=True)
    theirs = built(K.Bidirectional(forward, backward_layer=backward))
    x = np.random.default_rng(0).standard_normal((3, 4, 3)).astype("float32")
    for ours, wanted in zip(run_ours(from_keras(theirs), x), run_keras(theirs, x), strict=True):
        assert_close(ours, wanted, RTOL)


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense(use_bias, dtype):
    theirs = K.Dense(4, use_bias=use_bias, dtype=dtype)
    theirs.build((None, 3))
    randomise(theirs)
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    layer = from_keras(theirs)
    assert layer.bias is use_bias
    assert_close(layer(x), call(theirs, x), RTOL)
    for array, wanted in zip(to_keras_weights(layer), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(array, wanted)
    if use_bias:
        assert from_keras(theirs.get_weights()).config() == layer.config()


def test_embedding(dtype):
    theirs = K.Embedding(6, 3, dtype=dtype)
    theirs.build()
    ids = np.array([[0, 5], [2, 2]])
    layer = from_keras(theirs)
    np.testing.assert_array_equal(layer(ids), keras.ops.convert_to_numpy(theirs(ids)))
    np.testing.assert_array_equal(to_keras_weights(layer)[0], theirs.get_weights()[0])


def test_harmless_options():
    theirs = K.LSTM(4, unroll=True, kernel_regularizer="l2", unit_forget_bias=False)
    assert from_keras(built(theirs)).config() == fr.LSTM(3, 4).config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: K.SimpleRNN(4, activation="gelu"),
            f"activation must be one of {', '.join(FUNCTIONS)}, got 'gelu'",
        ),
        (
            lambda: K.GRU(4, recurrent_activation="softmax"),
            f"recurrent_activation must be one of {', '.join(FUNCTIONS)}, got 'softmax'",
        ),
        (lambda: K.LSTM(4, activation=tanh), "activation must be Keras's own, got a tanh of"),
        (lambda: K.GRU(4, dropout=0.2), "dropout must be 0.0, got 0.2"),
        (lambda: K.GRU(4, recurrent_dropout=0.1), "recurrent_dropout must be 0.0, got 0.1"),
        (lambda: K.LSTM(4, go_backwards=True), "go_backwards must be False, got True"),
        (
            lambda: K.Bidirectional(K.LSTM(4), merge_mode="sum"),
            "merge_mode must be 'concat', got 'sum'",
        ),
        (
            lambda: K.Bidirectional(K.LSTM(4), merge_mode=None),
            "merge_mode must be 'concat', got None",
        ),
        (
            lambda: K.Bidirectional(K.LSTM(4, dropout=0.5)),
            "dropout must be 0.0, got 0.5",
        ),
        (
            lambda: K.Bidirectional(K.GRU(4), backward_layer=K.LSTM(4, go_backwards=True)),
            "both layers of a Bidirectional must have the same options",
        ),
        (
            lambda: K.Bidirectional(
                K.LSTM(4, go_backwards=True), backward_layer=K.LSTM(4, go_backwards=False)
            ),
            "go_backwards must be False, got True",
        ),
        (lambda: K.Dense(4, activation="relu"), "activation must be 'linear', got 'relu'"),
        (lambda: K.Embedding(4, 3, mask_zero=True), "mask_zero must be False, got True"),
    ],
)
def test_options_that_layers_have_not(make, message):
    with pytest.raises(ValueError, match=f"^from_keras: {re.escape(message)}( {__name__})?$"):
        from_keras(built(make()))


def test_stateful_is_refused():
    theirs = K.LSTM(4, stateful=True)
    theirs.build((2, 5, 3))
    with pytest.raises(ValueError, match=r"^from_keras: stateful must be False, got True$"):
        from_keras(theirs)


def test_half_precision_is_refused():
    for policy in ("float16", "mixed_float16"):
        theirs = built(K.LSTM(4, dtype=policy, recurrent_initializer="zeros"))
        message = f"^LSTM: dtype must be float32 or float64, got '{policy}'$"
        with pytest.raises(TypeError, match=message):
            from_keras(theirs)


def test_a_layer_that_is_not_built():
    with pytest.raises(ValueError, match=r"^from_keras: the LSTM must be built first"):
        from_keras(K.LSTM(4))


class Own(K.LSTM):
    """Somebody's subclass, which may compute anything."""


@pytest.mark.parametrize(
    "make", [lambda: K.RNN(K.LSTMCell(4)), lambda: K.Conv1D(4, 1), lambda: Own(4)]
)
def test_other_layers(make):
    with pytest.raises(
        TypeError, match=r"^from_keras: layer must be one of SimpleRNN, .*, got \w+$"
    ):
        from_keras(make())


@pytest.mark.parametrize("theirs", [K.LSTM(4), K.Dense(4), K.Bidirectional(K.LSTM(4))])
def test_a_replaced_call_would_be_lost(theirs):
    theirs(np.zeros((1, 2, 3), np.float32))
    getattr(theirs, "backward_layer", theirs).call = lambda x: x
    with pytest.raises(ValueError, match=r"^from_keras: the \w+ must have no hooks and"):
        from_keras(theirs)


def test_other_objects():
    with pytest.raises(TypeError, match=r"^from_keras: layer must be one of .*, got LSTM$"):
        from_keras(fr.LSTM(3, 4))
    with pytest.raises(TypeError, match=r"^to_keras_weights: layer must be one of .*got Dropout$"):
        to_keras_weights(fr.Dropout())
    with pytest.raises(ValueError, match=r"^LSTM: num_layers must be 1, as Keras .*, got 2$"):
        to_keras_weights(fr.LSTM(3, 4, 2))


def shaped(*shapes, dtype="float32"):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([], ValueError, "from_keras: weights must be those of .*got shapes of no array"),
        (shaped((3, 4)), ValueError, r"from_keras: weights must be those of .*got shapes \(3, 4\)"),
        (
            shaped((3, 12), (4, 12)),
            ValueError,
            "from_keras: a GRU's weights without bias do not tell reset_after: give the layer.*",
        ),
        (shaped((3, 8), (4, 8), (8,)), ValueError, "from_keras: weights must be those of .*"),
        (
            shaped((3, 16), (4, 17), (16,)),
            ValueError,
            r"LSTM: recurrent_kernel must have shape \(4, 16\), got \(4, 17\)",
        ),
        (
            shaped((3, 12), (4, 12), (3, 12)),
            ValueError,
            r"GRU: bias must have shape \(2, 12\), got \(3, 12\)",
        ),
        (
            shaped((3, 16), (4, 16), (16,), (5, 16), (4, 16), (16,)),
            ValueError,
            r"LSTM: backward kernel must have shape \(3, 16\), got \(5, 16\)",
        ),
        (
            shaped((3, 16), (4, 16), (16,), dtype="float16"),
            TypeError,
            r"LSTM: dtype must be float32 or float64, got dtype\('float16'\)",
        ),
        (
            [*shaped((3, 16), (4, 16)), np.ones(16)],
            TypeError,
            "LSTM: bias must be float32, got float64",
        ),
    ],
)
def test_bad_weights(weights, error, message):
    with pytest.raises(error, match=f"^{message}$"):
        from_keras(weights)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (
            shaped((3, 16), (4, 16), (16,), (16,)),
            ValueError,
            r"LSTM: weights must be 3 arrays \(kernel, recurrent_kernel, bias\), got 4",
        ),
        (shaped((3, 16), (4, 16), (2, 16)), ValueError, r"LSTM: bias must have shape \(16,\), .*"),
        (np.ones((3, 4, 4)), TypeError, "load_keras_weights: weights must be a list .*got ndarray"),
    ],
)
def test_bad_weights_change_nothing(weights, error, message):
    layer = fr.LSTM(3, 4)
    with unchanged(layer), pytest.raises(error, match=f"^{message}$"):
        load_keras_weights(layer, weights)


def test_without_bias_the_parameters_become_zero():
    layer = fr.GRU(3, 4, reset_after=False)
    layer.params["b_l0"] += 1
    kernel, recurrent = shaped((3, 12), (4, 12))
    load_keras_weights(layer, [kernel, recurrent])
    assert not layer.params["b_l0"].any()
    np.testing.assert_array_equal(to_keras_weights(layer)[0], kernel)
    with pytest.raises(ValueError, match=r"^Linear: weights must be 2 arrays .*, got 1$"):
        load_keras_weights(fr.Linear(3, 12), [kernel])
