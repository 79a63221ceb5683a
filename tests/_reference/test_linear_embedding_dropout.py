from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient

from fastrnn import _reference

DTYPES = (np.float32, np.float64)


def normal(rng, *shape, dtype=np.float64):
    return rng.standard_normal(shape).astype(dtype)


def test_linear_by_finite_differences():
    rng = np.random.default_rng(0)
    x, W, b, dy = (normal(rng, *shape) for shape in ((5, 3), (3, 4), (4,), (5, 4)))

    def objective():
        return np.sum(dy * _reference.linear_forward(x, W, b))

    gradients = _reference.linear_backward(dy, x, W, bias=True)
    for name, gradient, array in zip("xWb", gradients, (x, W, b), strict=True):
        assert_close(gradient, numeric_gradient(objective, array), 1e-7, name)


def test_linear_without_bias():
    rng = np.random.default_rng(6)
    x, W, b, dy = (normal(rng, *shape) for shape in ((5, 3), (3, 4), (4,), (5, 4)))
    y = _reference.linear_forward(x, W, None)
    assert_close(_reference.linear_forward(x, W, b), y + b, 1e-15)
    *gradients, db = _reference.linear_backward(dy, x, W, bias=False)
    assert db is None
    for gradient, wanted in zip(
        gradients, _reference.linear_backward(dy, x, W, bias=True)[:2], strict=True
    ):
        np.testing.assert_array_equal(gradient, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("M", [0, 1, 5])
def test_linear_shapes_and_dtypes(dtype, M):
    rng = np.random.default_rng(1)
    x, W, b, dy = (normal(rng, *s, dtype=dtype) for s in ((M, 3), (3, 4), (4,), (M, 4)))
    y = _reference.linear_forward(x, W, b)
    assert (y.shape, y.dtype) == (dy.shape, dtype)
    gradients = _reference.linear_backward(dy, x, W, bias=True)
    for gradient, array in zip(gradients, (x, W, b), strict=True):
        assert (gradient.shape, gradient.dtype) == (array.shape, dtype)


def test_embedding_by_finite_differences():
    rng = np.random.default_rng(2)
    W, ids, dy = normal(rng, 5, 3), np.array([4, 0, 4, 2, 4]), normal(rng, 5, 3)

    def objective():
        return np.sum(dy * _reference.embedding_forward(ids, W))

    dW = _reference.embedding_backward(dy, ids, 5)
    assert_close(dW, numeric_gradient(objective, W), 1e-7)
    assert not dW[[1, 3]].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("M", [0, 7])
def test_embedding_is_a_one_hot_product(dtype, M):
    rng = np.random.default_rng(3)
    W, ids, dy = normal(rng, 5, 3, dtype=dtype), rng.integers(0, 5, M), normal(rng, M, 3)
    one_hot = np.eye(5, dtype=dtype)[ids]
    y = _reference.embedding_forward(ids, W)
    dW = _reference.embedding_backward(dy.astype(dtype), ids, 5)
    np.testing.assert_array_equal(y, one_hot @ W)
    assert_close(dW, one_hot.T @ dy, 1e-6)
    assert y.dtype == dW.dtype == dtype
    assert not np.shares_memory(y, W)


def test_tanh_by_finite_differences():
    rng = np.random.default_rng(7)
    x, dy = normal(rng, 4, 5), normal(rng, 4, 5)

    def objective():
        return np.sum(dy * _reference.tanh(x))

    dx = _reference.tanh_backward(dy, _reference.tanh(x))
    assert_close(dx, numeric_gradient(objective, x), 1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_keeps_scales_and_drops(dtype):
    rng = np.random.default_rng(4)
    x, keep = normal(rng, 4, 3, 5, dtype=dtype), rng.random((4, 3, 5)) < 0.6
    y = _reference.dropout(x, keep, 1 / 0.6)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y[~keep], 0)
    np.testing.assert_allclose(y[keep], x[keep] / 0.6, rtol=1e-6)


def test_dropout_is_its_own_backward():
    rng = np.random.default_rng(5)
    x, dy, keep = normal(rng, 4, 5), normal(rng, 4, 5), rng.random((4, 5)) < 0.5

    def objective():
        return np.sum(dy * _reference.dropout(x, keep, 2.0))

    assert_close(_reference.dropout(dy, keep, 2.0), numeric_gradient(objective, x), 1e-7)
