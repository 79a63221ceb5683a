"""Weights in fewer bits: what such a matrix holds, and what a product with it is.

``x @ W`` with one of these is the definition. A matrix of bfloat16 is float32 of which only the
upper half of each number is kept. One of int8 has columns of integers with a scale each, and the
rows of x are quantized in the same way as they come: sums of integers are exact, so they do not
depend on how they are made.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

MOST = 127  # the largest integer: -128 is not used, so that signs are alike
LEAST = np.float32(2.0**-100)  # rows and columns whose largest magnitude is less count as zeros


class Bfloat16:
    """A matrix of bfloat16: 8 bits of exponent and 7 of fraction, as in float32.

    Parameters
    ----------
    bits : array (K, n) of uint16
        The upper halves of float32 numbers.
    """

    __array_ufunc__ = None  # so that x @ W is for this class to say
    name = "bfloat16"

    def __init__(self, bits: Array) -> None:
        self.bits = bits
        self.shape = bits.shape

    @classmethod
    def of(cls, W: Array) -> Bfloat16:
        """Round a finite float32 matrix to the nearest, to even in the middle."""
        whole = np.ascontiguousarray(W).view(np.uint32)
        odd = whole >> 16 & 1
        return cls((whole + (0x7FFF + odd) >> 16).astype(np.uint16))

    def float32(self) -> Array:
        """Return the same numbers as float32."""
        return (self.bits.astype(np.uint32) << 16).view(np.float32)

    def columns(self, begin: int, end: int) -> Bfloat16:
        """Return some columns."""
        return Bfloat16(self.bits[:, begin:end])

    def __rmatmul__(self, x: Array) -> Array:
        return x @ self.float32()


class Int8:
    """A matrix whose columns are integers from -127 to 127 times a scale each.

    Parameters
    ----------
    integers : array (K, n) of int8
    scale : array (n,) of float32
        Positive and finite.
    """

    __array_ufunc__ = None
    name = "int8"
    MOST_ROWS = (2**31 - 1) // MOST**2  # sums of so many products fit 32 bits

    def __init__(self, integers: Array, scale: Array) -> None:
        self.integers, self.scale = integers, scale
        self.shape = integers.shape

    @classmethod
    def of(cls, W: Array) -> Int8:
        """Quantize a finite float32 matrix: the scale is the largest magnitude / 127."""
        integers, scale = quantized(W.T)
        return cls(np.ascontiguousarray(integers.T), np.where(scale == 0, np.float32(1), scale))

    def float32(self) -> Array:
        """Return the numbers that it stands for."""
        return self.integers * self.scale

    def columns(self, begin: int, end: int) -> Int8:
        """Return some columns."""
        return Int8(self.integers[:, begin:end], self.scale[begin:end])

    def __rmatmul__(self, x: Array) -> Array:
        rows, scale = quantized(x)
        sums = rows.astype(np.float64) @ self.integers.astype(np.float64)  # exact
        result: Array = sums.astype(np.float32) * (scale[:, None] * self.scale)
        return result


def quantized(x: Array) -> tuple[Array, Array]:
    """Return the rows of x (N, K) as integers (N, K), and their scales (N,).

    A row that is not finite has the scale NaN, which makes all products with it NaN.
    """
    most = np.abs(x).max(axis=1, initial=0)
    finite = np.isfinite(x).all(axis=1)
    some = finite & (most >= LEAST)
    factor = MOST / np.where(some, most, np.float32(1))
    integers = np.rint(np.where(some[:, None], x, 0) * factor[:, None]).astype(np.int8)
    scale = np.where(some, most / np.float32(MOST), np.float32(0))
    return integers, np.where(finite, scale, np.float32(np.nan))


LowPrecision: TypeAlias = Bfloat16 | Int8
FORMATS: dict[str, type[Bfloat16] | type[Int8]] = {each.name: each for each in (Bfloat16, Int8)}
