"""Linear, embedding, dropout, softmax cross-entropy and the optimizers against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import _kernels, _reference

pytestmark = pytest.mark.usefixtures("isa")

EXAMPLES = settings(deadline=None, max_examples=25)
SEEDS = st.integers(0, 2**32)
ROWS = st.integers(0, 20)
WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 130])


def normal(rng, *shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def linear(module, x, W, b, dy, **options):
    y = module.linear_forward(x, W, b, **options)
    dx, dW, db = module.linear_backward(dy, x, W, bias=b is not None, **options)
    assert (db is None) == (b is None)
    return {"y": y, "dx": dx, "dW": dW} | ({} if b is None else {"db": db})


@given(seed=SEEDS, M=ROWS, D=WIDTHS, O=WIDTHS, bias=st.booleans())
@EXAMPLES
def test_linear(dtype, assert_agree, seed, M, D, O, bias):  # noqa: E741
    rng = np.random.default_rng(seed)
    arguments = [normal(rng, *shape, dtype=dtype) for shape in ((M, D), (D, O), (O,), (M, O))]
    if not bias:
        arguments[2] = None
    assert_agree(linear(_kernels, *arguments), linear(_reference, *arguments))


@pytest.mark.parametrize("order", "CF")
def test_linear_on_any_number_of_threads(dtype, assert_agree, order):
    rng = np.random.default_rng(1)
    shapes = (903, 881), (881, 901), (901,), (903, 901)  # threads share also the packing
    arguments = [normal(rng, *shape, dtype=dtype) for shape in shapes]
    arguments[1] = arguments[1].copy(order)
    alone = linear(_kernels, *arguments, num_threads=1)
    assert_agree(alone, linear(_reference, *arguments))
    for num_threads in (2, 3):
        np.testing.assert_equal(linear(_kernels, *arguments, num_threads=num_threads), alone)


@given(seed=SEEDS, M=ROWS, V=st.integers(1, 30), D=WIDTHS)
@EXAMPLES
def test_embedding(dtype, assert_agree, seed, M, V, D):
    rng = np.random.default_rng(seed)
    ids, W, dy = (
        rng.integers(0, V, M),
        normal(rng, V, D, dtype=dtype),
        normal(rng, M, D, dtype=dtype),
    )
    wide = np.concatenate([dy, np.full_like(dy, np.nan)], axis=1)[:, :D]
    np.testing.assert_array_equal(_kernels.embedding_forward(ids, W), W[ids])
    assert_agree(
        {"dW": _kernels.embedding_backward(wide, ids, V)},
        {"dW": _reference.embedding_backward(dy, ids, V)},
    )


@given(seed=SEEDS, shape=st.tuples(ROWS, WIDTHS))
@EXAMPLES
def test_dropout(dtype, seed, shape):
    rng = np.random.default_rng(seed)
    x, keep = normal(rng, *shape, dtype=dtype), rng.random(shape) < 0.7
    y = _kernels.dropout(x, keep, 1 / 0.7)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, _reference.dropout(x, keep, 1 / 0.7))


@given(seed=SEEDS, shape=st.tuples(ROWS, WIDTHS))
@EXAMPLES
def test_tanh(dtype, assert_agree, seed, shape):
    rng = np.random.default_rng(seed)
    x, dy = normal(rng, *shape, dtype=dtype), normal(rng, *shape, dtype=dtype)
    results = []
    for module in (_kernels, _reference):
        y = module.tanh(x)
        results.append({"y": y, "dx": module.tanh_backward(dy, y)})
    assert_agree(*results)


def softmax_cross_entropy(module, logits, targets, **options):
    loss, dlogits = module.softmax_cross_entropy(logits, targets, train=True, **options)
    assert isinstance(loss, float)
    without = module.softmax_cross_entropy(logits, targets, train=False, **options)
    np.testing.assert_allclose(without[0], loss, 1e-6)
    assert without[1] is None
    return {"loss": np.array(loss, logits.dtype), "dlogits": dlogits}


@given(
    seed=SEEDS,
    M=ROWS,
    V=WIDTHS,
    ignored=st.sampled_from([None, 0, -1]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    scale=st.floats(0.1, 1e3),
)
@EXAMPLES
def test_softmax_cross_entropy(dtype, assert_agree, seed, M, V, ignored, smoothing, scale):
    rng = np.random.default_rng(seed)
    logits = normal(rng, M, V, dtype=dtype) * np.array(scale, dtype)
    targets = rng.integers(0, V, M)
    if ignored is not None:
        targets[rng.random(M) < 0.3] = ignored
    wide = np.concatenate([logits, np.full_like(logits, np.nan)], axis=1)[:, :V]
    options = {"ignore_index": ignored, "label_smoothing": smoothing}
    actual = softmax_cross_entropy(_kernels, wide, targets, **options)
    assert_agree(actual, softmax_cross_entropy(_reference, logits, targets, **options))
    if ignored is not None:
        assert not actual["dlogits"][targets == ignored].any()


def test_softmax_cross_entropy_on_any_number_of_threads(dtype, assert_agree):
    rng = np.random.default_rng(2)
    logits, targets = normal(rng, 71, 1001, dtype=dtype), rng.integers(0, 1001, 71)
    options = {"ignore_index": targets[0], "label_smoothing": 0.2}
    alone = softmax_cross_entropy(_kernels, logits, targets, num_threads=1, **options)
    assert_agree(alone, softmax_cross_entropy(_reference, logits, targets, **options))
    for num_threads in (2, 3):
        again = softmax_cross_entropy(_kernels, logits, targets, num_threads=num_threads, **options)
        np.testing.assert_equal(again, alone)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_in_logits_stay_in_their_row(dtype, poison):
    rng = np.random.default_rng(3)
    logits, targets = normal(rng, 5, 21, dtype=dtype), rng.integers(0, 20, 5)
    logits[2, 20] = poison
    with np.errstate(invalid="ignore"):
        wanted = softmax_cross_entropy(_reference, logits, targets, ignore_index=None)
    actual = softmax_cross_entropy(_kernels, logits, targets, ignore_index=None)
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.isfinite(actual[name]), np.isfinite(array), name)


@given(seed=SEEDS, shape=st.tuples(ROWS, WIDTHS))
@EXAMPLES
def test_optimizers(dtype, assert_agree, update, seed, shape):
    name, moments, options = update
    rng = np.random.default_rng(seed)
    names = ["param", "grad", "first", "second"][: 2 + moments]
    arrays = {name: normal(rng, *shape, dtype=dtype) for name in names}
    for name_of_moment in names[2:]:
        np.abs(arrays[name_of_moment], out=arrays[name_of_moment])
    results = []
    for module in (_kernels, _reference):
        results.append({key: array.copy() for key, array in arrays.items()})
        getattr(module, name)(*results[-1].values(), **options)
    np.testing.assert_array_equal(results[0]["grad"], arrays["grad"])
    assert_agree(*results)


@given(seed=SEEDS, shape=st.tuples(ROWS, WIDTHS))
@EXAMPLES
def test_squared_norm_and_scale(dtype, assert_agree, seed, shape):
    array = normal(np.random.default_rng(seed), *shape, dtype=dtype)
    norm = _kernels.squared_norm(array)
    assert isinstance(norm, float)
    np.testing.assert_allclose(norm, np.sum(array.astype(np.float64) ** 2), 1e-13)
    scaled = array.copy()
    _kernels.scale_in_place(scaled, 0.3)
    np.testing.assert_array_equal(scaled, array * np.array(0.3, dtype))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_nan_and_inf_of_a_gradient_are_seen(dtype, update, poison):
    name, moments, options = update
    rng = np.random.default_rng(4)
    param, grad, *others = np.abs(normal(rng, 2 + moments, 37, dtype=dtype))
    grad[[3, 36]] = poison
    assert not np.isfinite(_kernels.squared_norm(grad))
    with np.errstate(invalid="ignore"):
        getattr(_kernels, name)(param, grad, *others, **options)
    touched = np.isin(np.arange(37), [3, 36])
    states = np.array([param, *others])
    assert np.isfinite(states[:, ~touched]).all()
    assert not np.isfinite(states[:, touched]).all(axis=0).any()
