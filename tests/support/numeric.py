"""Errors, finite differences and random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def relative_error(actual: Array, wanted: Array) -> float:
    """Largest difference, relative to the largest magnitude in `wanted`; NaN counts as infinite."""
    if not np.size(wanted):
        return 0.0
    difference = np.max(np.abs(np.subtract(actual, wanted, dtype=np.float64)))
    if difference == 0:
        return 0.0
    error = difference / max(np.max(np.abs(wanted)), np.finfo(np.float64).tiny)
    return float(error) if np.isfinite(error) else np.inf


def assert_close(actual: Array, wanted: Array, rtol: float, name: str = "array") -> None:
    """Assert equal shapes and a `relative_error` of at most `rtol`."""
    assert np.shape(actual) == np.shape(wanted), name
    error = relative_error(actual, wanted)
    assert error <= rtol, f"{name}: relative error {error:.3g} > {rtol:.3g}"


def assert_agree(
    actual: Mapping[str, Array],
    wanted: Mapping[str, Array],
    rtol: float,
    exact: Mapping[str, Array] | None = None,
) -> None:
    """Assert that results of unit normal data are those of the reference, up to rounding.

    What differs may be `rtol` of an array's largest magnitude, or of 1 where that is larger: a sum
    of numbers around 1 may cancel. Where the results in float64 are given, it may also be 16 times
    what rounding alone does to what is wanted: some steps of a cell with one hidden unit and a
    large weight magnify every error.
    """
    assert actual.keys() == wanted.keys()
    for name, array in wanted.items():
        assert np.asarray(actual[name]).dtype == np.asarray(array).dtype, name
        atol = rtol * np.abs(array).max(initial=1)
        if exact is not None:
            atol = max(atol, 16 * np.abs(array - exact[name]).max(initial=0))
        np.testing.assert_allclose(actual[name], array, 0, atol, err_msg=name)


def numeric_gradient(function: Callable[[], float], array: Array, step: float = 1e-5) -> Array:
    """Central differences of `function` with respect to the elements of `array`, which it reads."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        below = function()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def random_lengths(rng: np.random.Generator, N: int, T: int) -> Array:
    """Lengths in random order among which are, as far as N goes, 0 and T."""
    lengths = rng.integers(0, T + 1, N)
    lengths[:2] = [0, T][:N]
    return rng.permutation(lengths)


def random_drop(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """Factors of dropout with p = 0.4: 0 or 1 / (1 - p)."""
    return ((rng.random(shape) >= 0.4) / 0.6).astype(dtype)
