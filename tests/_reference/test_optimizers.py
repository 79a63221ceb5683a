"""The updates against formulas written out by hand in Python floats, one element at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.numeric import assert_close

from fastrnn import _reference

STEPS = 5


def sgd(p, grads):
    for g in grads:
        p = p - 0.1 * g
    return p


def momentum(p, grads):
    velocity = 0.0
    for g in grads:
        velocity = 0.9 * velocity - 0.1 * g
        p = p + velocity
    return p


def adagrad(p, grads):
    return p - sum(
        0.1 * g / (math.sqrt(sum(past**2 for past in grads[: k + 1])) + 1e-3)
        for k, g in enumerate(grads)
    )


def rmsprop(p, grads):
    for k, g in enumerate(grads):
        mean_square = sum(0.2 * 0.8 ** (k - j) * grads[j] ** 2 for j in range(k + 1))
        p = p - 0.1 * g / (math.sqrt(mean_square) + 1e-3)
    return p


def adam(p, grads, weight_decay=0.0):
    for k in range(len(grads)):
        weights1 = [0.9 ** (k - j) for j in range(k + 1)]
        weights2 = [0.99 ** (k - j) for j in range(k + 1)]
        mean = sum(w * grads[j] for j, w in enumerate(weights1)) / sum(weights1)
        square = sum(w * grads[j] ** 2 for j, w in enumerate(weights2)) / sum(weights2)
        p = p * (1 - 0.1 * weight_decay) - 0.1 * mean / (math.sqrt(square) + 1e-3)
    return p


def adamw(p, grads):
    return adam(p, grads, weight_decay=0.3)


ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-3}
UPDATES = {  # name: (moments, options, by hand)
    "sgd": (0, {"lr": 0.1}, sgd),
    "momentum": (1, {"lr": 0.1, "momentum": 0.9}, momentum),
    "adagrad": (1, {"lr": 0.1, "eps": 1e-3}, adagrad),
    "rmsprop": (1, {"lr": 0.1, "rho": 0.8, "eps": 1e-3}, rmsprop),
    "adam": (2, {**ADAM, "weight_decay": 0.0}, adam),
    "adamw": (2, {**ADAM, "weight_decay": 0.3}, adamw),
}


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("name", UPDATES)
def test_update_by_hand(name, dtype, rtol, shape):
    rng = np.random.default_rng(0)
    moments, options, by_hand = UPDATES[name]
    start = rng.standard_normal(shape).astype(dtype)
    grads = rng.standard_normal((STEPS, *shape)).astype(dtype)
    kept_grads = grads.copy()
    param = start.copy()
    arrays = [np.zeros(shape, dtype) for _ in range(moments)]
    update = getattr(_reference, f"{name.removesuffix('w')}_update")
    for step in range(1, STEPS + 1):
        count = {"step": step} if name.startswith("adam") else {}
        update(param, grads[step - 1, ...], *arrays, **options, **count)
    wanted = np.empty(shape)
    for index in np.ndindex(shape):
        wanted[index] = by_hand(
            float(start[index]), [float(g) for g in grads[(slice(None), *index)]]
        )
    assert_close(param, wanted, rtol)
    assert param.dtype == dtype
    np.testing.assert_array_equal(grads, kept_grads)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squared_norm_accumulates_in_float64(dtype):
    array = np.random.default_rng(1).standard_normal((50, 40)).astype(dtype)
    norm = _reference.squared_norm(array)
    assert type(norm) is float
    assert norm == pytest.approx(math.fsum(float(a) ** 2 for a in array.flat), rel=1e-13)
    assert _reference.squared_norm(array[:0]) == 0.0


def test_squared_norm_of_large_float32_does_not_overflow():
    assert _reference.squared_norm(np.array([3e30, 4e30], np.float32)) == pytest.approx(25e60)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [0.37, np.float64(0.37)])
def test_scale_in_place(dtype, factor):
    array = np.random.default_rng(2).standard_normal((3, 4)).astype(dtype)
    wanted = array * dtype(0.37)
    _reference.scale_in_place(array, factor)
    assert_close(array, wanted, 1e-6)
    assert array.dtype == dtype
