"""Layers frozen with weights of few bits: what they compute, keep and refuse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support.backends import needs_kernels
from support.problems import like, parts

import fastrnn as fr
from fastrnn._low_precision import FORMATS

LAYERS = {
    "rnn": lambda *sizes, **options: fr.RNN(*sizes, nonlinearity="relu", **options),
    "lstm": fr.LSTM,
    "gru after": lambda *sizes, **options: fr.GRU(*sizes, reset_after=True, **options),
    "gru before": lambda *sizes, **options: fr.GRU(*sizes, reset_after=False, **options),
}


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


@pytest.fixture(params=FORMATS)
def precision(request):
    return request.param


@pytest.mark.parametrize("num_layers, residual", [(1, False), (3, True)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_results_are_near_those_of_float32(
    make, precision, num_layers, residual, bidirectional, backend
):
    rng = np.random.default_rng(0)
    options = {"num_layers": num_layers, "residual": residual, "bidirectional": bidirectional}
    layer = make(20, 24, rng=1, **options).eval()
    x, state = rng.standard_normal((5, 6, 20)).astype("float32"), like(layer.init_state(5), rng)
    lengths = [6, 0, 3, 1, 5]
    wanted = layer(x, state, lengths=lengths)
    params = {key: param.copy() for key, param in layer.params.items()}
    assert layer.freeze(precision) is layer and layer.frozen
    y, final = came = layer(x, state, lengths=lengths)
    for array, like_it in zip([y, *parts(final)], [wanted[0], *parts(wanted[1])], strict=True):
        error = np.abs(array - like_it).max()
        assert 1e-5 < error < {"int8": 0.1, "bfloat16": 0.05}[precision] * np.abs(like_it).max()
    np.testing.assert_array_equal(y[1], 0)
    np.testing.assert_equal(layer(x[:, ::1, ::-1][..., ::-1], state, lengths=lengths), came)
    np.testing.assert_equal(dict(layer.params), params)
    assert layer(x[:0])[0].shape[0] == layer(x[:, :0])[0].shape[1] == 0
    layer.unfreeze()
    np.testing.assert_equal(layer(x, state, lengths=lengths), wanted)


def test_steps_are_those_of_forward(make, precision, backend):
    rng = np.random.default_rng(2)
    layer = make(7, 9, num_layers=2, rng=3).freeze(precision)
    x, state = rng.standard_normal((3, 4, 7)).astype("float32"), like(layer.init_state(3), rng)
    wanted, final = layer(x, state)
    out = np.empty((3, 9), "float32"), copy.deepcopy(state)
    for t in range(4):
        given = [(x[:, t].copy(), state), (x[:, t], state, out)][t % 2]
        y, state = layer.step(*given)
        np.testing.assert_array_equal(y, wanted[:, t])
    np.testing.assert_equal(state, final)


def test_an_embedding_and_the_initial_state(precision, backend):
    layer = fr.LSTM(6, 8, rng=4).freeze(precision)
    table = np.random.default_rng(5).standard_normal((9, 6)).astype("float32")
    ids = np.array([[1, 8, 0], [3, 3, 2]])
    np.testing.assert_equal(layer(ids, embedding=table), layer(table[ids]))


@needs_kernels
def test_both_backends_agree(make, precision):
    rng = np.random.default_rng(6)
    layer = make(20, 24, num_layers=2, rng=7)
    x = rng.standard_normal((5, 1, 20)).astype("float32")
    results = []
    for backend in ("compiled", "reference"):
        with fr.backend(backend):
            results.append(layer.freeze(precision)(x))
            layer.unfreeze()
    for came, wanted in zip(*([y, *parts(s)] for y, s in results), strict=True):
        # What rounds another way in the second layer moves it by one in 127.
        np.testing.assert_allclose(came, wanted, atol=2e-3 if precision == "int8" else 1e-5)


def test_copies_are_float32(precision, backend):
    layer = fr.GRU(3, 4, rng=8)
    x = np.random.default_rng(9).standard_normal((2, 5, 3)).astype("float32")
    wanted = layer.eval()(x)
    layer.freeze(precision)
    for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert not other.frozen
        np.testing.assert_equal(other(x), wanted)
        other.train()


def refusal(layer, precision, error=ValueError):
    """The one line that freezing raises, which changes nothing."""
    with pytest.raises(error) as caught:
        layer.freeze(precision)
    assert not layer.frozen and layer.training
    assert all(param.flags.writeable for param in layer.params.values())
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_cannot_be_frozen_so(precision):
    assert refusal(fr.LSTM(3, 4), "int4") == (
        "LSTM: weights must be one of float32, bfloat16, int8, got 'int4'"
    )
    assert refusal(fr.LSTM(3, 4), None).endswith("got None")
    assert refusal(fr.GRU(3, 4, dtype="float64"), precision) == (
        f"GRU: freeze({precision!r}) needs dtype float32, the layer has float64"
    )
    assert refusal(fr.PeepholeLSTM(3, 4), precision) == (
        f"PeepholeLSTM: freeze({precision!r}) needs an RNN, LSTM or GRU, "
        "not a cell that is a program"
    )
    for key in ("Wx_l1", "Wh_l0", "b_l1"):
        for value in (np.nan, np.inf, *([3.4e38] if "b" not in key else [])):
            layer = fr.LSTM(3, 4, 2)
            layer.params[key].ravel()[5] = value
            if value == 3.4e38 and precision == "int8":
                layer.freeze(precision)  # its scale is finite
                continue
            assert refusal(layer, precision) == (
                f"LSTM: freeze({precision!r}) needs finite weights, {key} has some that are not"
            )


def test_a_frozen_layer_keeps_its_precision(precision):
    layer = fr.RNN(3, 4).freeze(precision)
    assert layer.freeze(precision) is layer
    with pytest.raises(ValueError, match=r"^RNN: freeze\('float32'\) needs unfreeze\(\) first, "):
        layer.freeze()
    with pytest.raises(ValueError, match="train needs unfreeze"):
        layer.train()
    layer.unfreeze().freeze()
    with pytest.raises(ValueError, match="the layer is frozen with float32"):
        layer.freeze(precision)


@needs_kernels
def test_other_weights_than_the_frozen_ones_are_not_used(precision):
    layer = fr.LSTM(3, 4, rng=0).freeze(precision)
    x = np.zeros((2, 1, 3), "float32")
    with fr.backend("reference"):
        for call in (lambda: layer(x), lambda: layer.step(x[:, 0])):
            with pytest.raises(
                ValueError, match=f"^LSTM: frozen with {precision}, but the backend"
            ):
                call()
    layer(x)
    layer.params["Wx_l0"].flags.writeable = True
    with pytest.raises(ValueError, match="or params are writeable again"):
        layer(x)


def test_the_error_of_quantization(precision, backend):
    layer = fr.GRU(20, 24, 2, rng=1)
    rng = np.random.default_rng(10)
    x, state = rng.standard_normal((5, 6, 20)).astype("float32"), like(layer.init_state(5), rng)
    lengths = [6, 0, 3, 1, 5]
    error = fr.quantization_error(layer, x, precision, state, lengths=lengths)
    assert layer.training and not layer.frozen
    y, final = layer.eval()(x, state, lengths=lengths)
    y_low, final_low = layer.freeze(precision)(x, state, lengths=lengths)
    dy, dstate = np.abs(y - y_low), np.abs(final - final_low)
    np.testing.assert_allclose(error, [dy.max(), dy.mean(), dstate.max(), dstate.mean()], 1e-5)
    assert min(error) > 0
    assert error.y_largest > error.y_mean and error.state_largest > error.state_mean
    assert fr.quantization_error(layer, x[:, :0], precision) == (0, 0, 0, 0)
    with pytest.raises(TypeError, match=r"^quantization_error: layer must be a recurrent layer"):
        fr.quantization_error(fr.Linear(3, 4), x)
