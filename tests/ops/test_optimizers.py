"""The optimizers' updates: against the reference, in place."""

from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close

from fastrnn import _reference, ops

RTOL = {"float32": 1e-5, "float64": 1e-12}
UPDATES = {  # moments, options
    "sgd_update": (0, {"lr": 0.3}),
    "momentum_update": (1, {"lr": 0.3, "momentum": 0.8}),
    "adagrad_update": (1, {"lr": 0.3, "eps": 1e-7}),
    "rmsprop_update": (1, {"lr": 0.3, "rho": 0.9, "eps": 1e-7}),
    "adam_update": (
        2,
        {"lr": 0.3, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 3, "weight_decay": 0.1},
    ),
}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (0, 4)])
def test_agrees_with_the_reference(name, shape, dtype, backend):
    rng = np.random.default_rng(1)
    moments, options = UPDATES[name]
    arrays = [np.asarray(abs(rng.standard_normal(shape)), dtype) for _ in range(2 + moments)]
    wanted = [array.copy() for array in arrays]
    getattr(_reference, name)(*wanted, **options)
    getattr(ops, name)(*arrays, **options)
    for array, want in zip(arrays, wanted, strict=True):
        assert_close(array, want, RTOL[dtype])


def test_gradients_of_any_layout(backend):
    rng = np.random.default_rng(2)
    grad = rng.standard_normal((4, 3))
    params = [np.ones((3, 4)) for _ in range(3)]
    for param, layout in zip(params, (grad.T.copy(), grad.T, grad.T.astype(">f8")), strict=True):
        ops.sgd_update(param, layout, lr=0.5)
        assert_close(param, 1 - 0.5 * grad.T, 1e-12)


def test_squared_norm_and_scale(dtype, backend):
    array = np.random.default_rng(3).standard_normal((50, 3)).astype(dtype)
    wanted = float(np.sum(np.square(array, dtype=np.float64)))
    assert ops.squared_norm(array) == pytest.approx(wanted, rel=1e-12)
    assert ops.squared_norm(array[::2, 1]) == pytest.approx(
        float(np.sum(np.square(array[::2, 1], dtype=np.float64))), rel=1e-12
    )
    scaled = array.copy()
    ops.scale_in_place(scaled, 0.25)
    np.testing.assert_array_equal(scaled, array * array.dtype.type(0.25))


def test_squared_norm_of_float32_does_not_overflow(backend):
    assert ops.squared_norm(np.full(3, 1e30, np.float32)) == pytest.approx(3e60, rel=1e-6)
