"""What the recurrent cells share: time steps and lengths.

A batch ``(N, T, ...)`` holds N sequences. Sequence n owns its first ``lengths[n]`` steps (all T
when `lengths` is None); the others are padding. The cells never read padding: each step handles
only the rows of the batch that own it, and products over all steps take only the owned ones.
So padding may hold anything, NaN included, and a state passes through it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from .types import Array

Rows: TypeAlias = slice | Array


def steps(T: int, lengths: Array | None, reverse: bool) -> Iterator[tuple[int, Rows]]:
    """Yield each time step in walking order, with the rows of the batch that own it."""
    for t in range(T - 1, -1, -1) if reverse else range(T):
        yield t, slice(None) if lengths is None else np.flatnonzero(t < lengths)


def pack(array: Array, lengths: Array | None) -> Array:
    """Return the owned steps of `array` (N, T, C) as the rows of a matrix."""
    N, T, C = array.shape
    return array.reshape(N * T, C) if lengths is None else array[_owned(T, lengths)]


def unpack(packed: Array, lengths: Array | None, N: int, T: int) -> Array:
    """Undo `pack`: return (N, T, C), exactly 0 in the padding."""
    C = packed.shape[1]
    if lengths is None:
        return packed.reshape(N, T, C)
    array = np.zeros((N, T, C), packed.dtype)
    array[_owned(T, lengths)] = packed
    return array


def project(x: Array, Wx: Array, b: Array, lengths: Array | None) -> Array:
    """Return ``x Wx + b`` for all steps at once, as (N, T, G)."""
    N, T, _ = x.shape
    return unpack(pack(x, lengths) @ Wx + b, lengths, N, T)


def project_backward(
    da: Array, x: Array, Wx: Array, lengths: Array | None
) -> tuple[Array, Array, Array]:
    """Return ``(dx, dWx, db)`` of ``a = project(x, Wx, b, lengths)``."""
    N, T, _ = x.shape
    da = pack(da, lengths)
    dx = unpack(da @ Wx.T, lengths, N, T)  # a = x @ Wx + b
    dWx = pack(x, lengths).T @ da  # a = x @ Wx + b
    db = da.sum(axis=0)  # a = x @ Wx + b
    return dx, dWx, db


def outputs(out: Array | None, x: Array, h0: Array) -> Array:
    """Return zeros (N, T, H) for y, in `out` if given."""
    N, T, _ = x.shape
    if out is None:
        return np.zeros((N, T, h0.shape[1]), x.dtype)
    out[...] = 0
    return out


def _owned(T: int, lengths: Array) -> Array:
    mask: Array = np.arange(T) < lengths[:, None]
    return mask
