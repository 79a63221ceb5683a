"""exp, sigmoid and tanh: their accuracy in units of the last place (ulp)."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn._kernels.pointwise import elementwise

# The bounds that simd/vmath-inl.h states.
BOUNDS = {"exp": 2, "sigmoid": 4, "tanh": 4}
# Where e^x is a normal number with room to spare; beyond, the result is 0 or infinity.
EXP_RANGE = {"float32": (-87.336, 88.376), "float64": (-708.396, 709.436)}

pytestmark = [
    pytest.mark.usefixtures("isa"),
    pytest.mark.parametrize("name", BOUNDS),
]


def exact(name, x):
    """The function in a wider type."""
    x = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    with np.errstate(over="ignore", under="ignore"):
        return {"exp": np.exp, "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x))}[name](x)


def ulp_error(name, x):
    """Differences from the exact result in ulp of the result."""
    wanted = exact(name, x)
    ulp = np.spacing(np.abs(wanted).astype(x.dtype))
    return np.abs(getattr(elementwise, name)(x) - wanted) / ulp


def samples(rng, dtype):
    """Numbers of every magnitude and sign, among them denormals, within the range of exp."""
    low, high = EXP_RANGE[dtype]
    magnitudes = np.exp2(rng.uniform(np.log2(np.finfo(dtype).smallest_subnormal), 6.4, 100_000))
    x = np.concatenate([rng.uniform(low, high, 200_000), magnitudes, -magnitudes]).astype(dtype)
    return x[(x > low) & (x < high)]


def test_error_within_the_stated_bound(name, dtype):
    x = samples(np.random.default_rng(1), dtype)
    error = ulp_error(name, x)
    worst = error.argmax()
    assert error[worst] <= BOUNDS[name], f"{name}({x[worst]!r}) is off by {error[worst]:.2f} ulp"


def test_beyond_the_range_of_exp(name, dtype):
    low, high = EXP_RANGE[dtype]
    x = np.array([low - 1, -1e3, -np.inf, high + 1, 1e3, np.inf], dtype)
    wanted = {"exp": [0, np.inf], "sigmoid": [0, 1], "tanh": [-1, 1]}[name]
    tiny = np.finfo(dtype).tiny
    np.testing.assert_allclose(getattr(elementwise, name)(x), np.repeat(wanted, 3), 0, tiny)


def test_across_the_ends_of_the_range(name, dtype):
    """Where exp leaves the normal numbers, and where the others have long been constant."""
    end = np.abs(EXP_RANGE[dtype]).max()
    magnitudes = np.linspace(end - 3, end + 37, 20_001, dtype=dtype)
    x = np.concatenate([-magnitudes[::-1], magnitudes])
    y, limits = getattr(elementwise, name)(x), np.finfo(dtype)
    with np.errstate(over="ignore"):
        wanted = exact(name, x).astype(dtype)
    known = np.isfinite(y) & np.isfinite(wanted)
    np.testing.assert_allclose(y[known], wanted[known], BOUNDS[name] * limits.eps, limits.tiny)
    # exp may reach infinity half a power of two early
    assert (y[~known] == np.inf).all()
    assert (wanted[~known] > limits.max / 2).all()


def test_exact_values_and_nan(name, dtype):
    x = np.array([0.0, -0.0, np.nan], dtype)
    at_zero = {"exp": 1, "sigmoid": 0.5, "tanh": 0}[name]
    result = getattr(elementwise, name)(x)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.array([at_zero, at_zero, np.nan]))


def test_nan_stays_in_its_lane(name, dtype):
    x = np.random.default_rng(3).standard_normal(64).astype(dtype)
    wanted = getattr(elementwise, name)(x)
    for payload in (np.nan, -np.nan):
        for lane in range(32):
            x[lane], wanted[lane] = payload, np.nan
            np.testing.assert_array_equal(getattr(elementwise, name)(x), wanted)


def test_results_do_not_depend_on_the_place(name, dtype):
    function = getattr(elementwise, name)
    x = np.random.default_rng(2).standard_normal(97).astype(dtype)
    wanted = function(x)
    for start in range(18):
        for size in range(18):
            part = slice(start, start + size)
            np.testing.assert_array_equal(function(x[part]), wanted[part])
