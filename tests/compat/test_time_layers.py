"""Every layer against a plain NumPy one, on random sizes, and its gradients against differences."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import numpy_time_layers as plain
from support.compat import CELLS, STATES, f4, parameters
from support.numeric import assert_close, numeric_gradient

from fastrnn.compat import time_layers as ours

EXAMPLES = settings(deadline=None, max_examples=25)


class Sizes(NamedTuple):
    seed: int
    N: int
    T: int
    D: int
    H: int


SIZES = st.builds(
    Sizes,
    seed=st.integers(0, 2**32),
    N=st.integers(1, 8),
    T=st.integers(1, 6),
    D=st.integers(1, 20),
    H=st.integers(1, 20),
)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def assert_near(actual, wanted, name):
    """Compare in float32 what is of unit size or larger, or a sum of such numbers that cancel."""
    scale = 2e-5 * max(1, np.abs(wanted).max(initial=0))
    np.testing.assert_allclose(actual, wanted, 0, scale, err_msg=name)


def assert_same(layers, forward, backward=None, **options):
    """Call two layers, ours first; compare results, gradients and that ours are float32."""
    results = []
    for layer in layers:
        outputs = as_tuple(layer.forward(*forward, **options))
        inputs = as_tuple(None if backward is None else layer.backward(*backward))
        results.append((*outputs, *inputs, *layer.grads))
    for index, (actual, wanted) in enumerate(zip(*results, strict=True)):
        if wanted is None:
            assert actual is None
            continue
        if np.ndim(wanted):
            assert actual.dtype == np.float32
        assert_near(actual, wanted, f"result {index}")


def pair(name, *arguments):
    return getattr(ours, name)(*arguments), getattr(plain, name)(*arguments)


@CELLS
@given(s=SIZES)
@EXAMPLES
def test_one_step(backend, cell, s):
    rng = np.random.default_rng(s.seed)
    states = f4(rng, 2, STATES[cell], s.N, s.H)
    layers = pair(cell, *parameters(rng, cell, s.D, s.H))
    assert_same(layers, (f4(rng, s.N, s.D), *states[0]), tuple(states[1]))


@CELLS
@given(s=SIZES)
@EXAMPLES
def test_over_time(backend, cell, s):
    rng = np.random.default_rng(s.seed)
    layers = pair(f"Time{cell}", *parameters(rng, cell, s.D, s.H))
    assert_same(layers, (f4(rng, s.N, s.T, s.D),), (f4(rng, s.N, s.T, s.H),))
    for name in ("h", "c", "dh") if cell == "LSTM" else ("h", "dh"):
        assert_near(getattr(layers[0], name), getattr(layers[1], name), name)


@CELLS
@given(s=SIZES, calls=st.lists(st.sampled_from(["forward", "longer", "one", "set", "reset"])))
@EXAMPLES
def test_stateful(cell, s, calls):
    rng = np.random.default_rng(s.seed)
    layers = pair(f"Time{cell}", *parameters(rng, cell, s.D, s.H), True)
    for call in [*calls, "forward"]:
        T = {"forward": s.T, "longer": s.T + 3, "one": 1}.get(call)
        if T:
            assert_same(layers, (f4(rng, s.N, T, s.D),), (f4(rng, s.N, T, s.H),))
        elif call == "set":
            states = f4(rng, rng.integers(1, STATES[cell], endpoint=True), s.N, s.H)
            for layer in layers:
                layer.set_state(*states)
        else:
            for layer in layers:
                layer.reset_state()


@given(s=SIZES, stateful=st.booleans())
@EXAMPLES
def test_both_directions(s, stateful):
    rng = np.random.default_rng(s.seed)
    both = [array for _ in "12" for array in parameters(rng, "LSTM", s.D, s.H)]
    layers = pair("TimeBiLSTM", *both, stateful)
    for _ in range(2):
        assert_same(layers, (f4(rng, s.N, s.T, s.D),), (f4(rng, s.N, s.T, 2 * s.H),))
    for layer in layers:
        layer.reset_state()
    assert_same(layers, (f4(rng, s.N, s.T, s.D),))


@given(s=SIZES)
@EXAMPLES
def test_embedding_and_affine(backend, s):
    rng = np.random.default_rng(s.seed)
    ids = rng.integers(0, s.D, (s.N, s.T))
    assert_same(pair("TimeEmbedding", f4(rng, s.D, s.H)), (ids,), (f4(rng, s.N, s.T, s.H),))
    for W in (f4(rng, s.D, s.H), f4(rng, s.H, s.D).T):
        layers = pair("TimeAffine", W, f4(rng, s.H))
        assert_same(layers, (f4(rng, s.N, s.T, s.D),), (f4(rng, s.N, s.T, s.H),))


@given(s=SIZES, dout=st.sampled_from([1, 0.5, -2.0]))
@EXAMPLES
def test_softmax_with_loss(backend, s, dout):
    rng = np.random.default_rng(s.seed)
    xs, ts = f4(rng, s.N, s.T, s.D), rng.integers(-1, s.D, (s.N, s.T))
    ts[0, 0] = 0
    assert_same(pair("TimeSoftmaxWithLoss"), (xs, ts), (dout,))
    one_hot = np.eye(s.D)[np.maximum(ts, 0)]
    assert_same(pair("TimeSoftmaxWithLoss"), (xs, one_hot), (dout,))
    layers = pair("TimeSoftmaxWithLoss")
    for layer in layers:
        layer.ignore_label = 0
    ts[0, 0] = s.D - 1
    if (ts > 0).any():
        assert_same(layers, (xs, np.maximum(ts, 0)), (dout,))


@given(s=SIZES, dout=st.sampled_from([1, 0.5]))
@EXAMPLES
def test_sigmoid_with_loss(s, dout):
    rng = np.random.default_rng(s.seed)
    xs, ts = f4(rng, s.N, s.T), rng.integers(0, 2, (s.N, s.T))
    assert_same(pair("TimeSigmoidWithLoss"), (xs, ts), (dout,))


@given(s=SIZES, ratio=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
@EXAMPLES
def test_dropout_draws_as_the_textbook_does(s, ratio):
    rng = np.random.default_rng(s.seed)
    layers = pair("TimeDropout", ratio)
    xs, dout = f4(rng, 2, s.N, s.T, s.D)
    results = []
    for layer in layers:
        np.random.seed(s.seed % 2**32)
        results.append([layer.forward(xs), layer.forward(xs), layer.backward(dout)])
        layer.train_flg = False
        assert layer.forward(xs) is xs
    np.testing.assert_array_equal(*results)


@given(s=SIZES)
@EXAMPLES
def test_attention(backend, s):
    rng = np.random.default_rng(s.seed)
    hs, h, a, dc = f4(rng, s.N, s.T, s.H), f4(rng, s.N, s.H), f4(rng, s.N, s.T), f4(rng, s.N, s.H)
    assert_same(pair("WeightSum"), (hs, a), (dc,))
    assert_same(pair("AttentionWeight"), (hs, h), (a,))
    assert_same(layers := pair("Attention"), (hs, h), (dc,))
    assert_close(layers[0].attention_weight, layers[1].attention_weight, 2e-5)
    dec, dout = f4(rng, 2, s.N, s.D, s.H)
    assert_same(layers := pair("TimeAttention"), (hs, dec), (dout,))
    weights = np.array(layers[0].attention_weights)
    assert weights.shape == (s.D, s.N, s.T)
    assert_close(weights, np.array(layers[1].attention_weights), 2e-5)


@CELLS
def test_the_plain_cells_by_finite_differences(cell):
    """What all others are compared with is right."""
    rng = np.random.default_rng(1)
    layer = getattr(plain, f"Time{cell}")(*parameters(rng, cell, 3, 2, "float64"), True)
    xs, dhs, h0 = (rng.standard_normal(shape) for shape in ((4, 5, 3), (4, 5, 2), (4, 2)))

    def loss():
        layer.set_state(h0)
        return float((layer.forward(xs) * dhs).sum())

    loss()
    dxs = layer.backward(dhs)
    gradients = [dxs, layer.dh, *(grad.copy() for grad in layer.grads)]
    for array, gradient in zip([xs, h0, *layer.params], gradients, strict=True):
        assert_close(gradient, numeric_gradient(loss, array), 1e-7)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("WeightSum", [(2, 3, 4), (2, 3)]),
        ("AttentionWeight", [(2, 3, 4), (2, 4)]),
        ("Attention", [(2, 3, 4), (2, 4)]),
        ("TimeAttention", [(2, 3, 4), (2, 5, 4)]),
        ("TimeSigmoidWithLoss", [(2, 3)]),
        ("TimeSoftmaxWithLoss", [(2, 3, 4)]),
    ],
)
def test_the_plain_others_by_finite_differences(name, shapes):
    rng = np.random.default_rng(2)
    layer, arrays = getattr(plain, name)(), [rng.standard_normal(shape) for shape in shapes]
    fixed = [np.array([[1, 0, 1], [0, 1, 1]])] if "Loss" in name else []
    upstream = rng.standard_normal(np.shape(layer.forward(*arrays, *fixed)))

    def loss():
        return float(np.sum(layer.forward(*arrays, *fixed) * upstream))

    loss()
    for array, gradient in zip(arrays, as_tuple(layer.backward(upstream)), strict=True):
        assert_close(gradient, numeric_gradient(loss, array), 1e-7)
