"""What the recurrent cells share: time steps and lengths.

A batch (N, T, ...) holds N sequences. Sequence n owns its first ``lengths[n]`` steps (all T
when `lengths` is None); the others are padding. A cell computes each step for the rows of the
batch that own it and for no others. So padding may hold anything, NaN included, and a state
passes through it unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .types import Array, Weights


def steps(x: Array, lengths: Array | None, reverse: bool) -> Iterator[tuple[int, Array]]:
    """Yield each time step of x in walking order, with the rows of the batch that own it.

    The rows are indices: ``h[rows]`` is a copy, which a later ``h[rows] = ...`` leaves alone.
    """
    N, T, _ = x.shape
    if lengths is None:
        lengths = np.full(N, T)
    for t in reversed(range(T)) if reverse else range(T):
        yield t, np.flatnonzero(t < lengths)


def rows_of(array: Array | None, rows: Array) -> Array | None:
    """Return what some rows of the batch have in an array that may be None."""
    return None if array is None else array[rows]


def dropped(h: Array, drop_h: Array | None) -> Array:
    """Return what dropout leaves of h where it meets its weights (Gal and Ghahramani 2016).

    The factors (N, H), 0 or 1 / (1 - p), are the same at every step. The map is diagonal, so the
    same call carries the gradient back.
    """
    return h if drop_h is None else h * drop_h


def columns(W: Any, count: int) -> list[Any]:
    """Return a matrix, of floats or of fewer bits, in so many parts side by side."""
    width = W.shape[1] // count
    places = [(gate * width, (gate + 1) * width) for gate in range(count)]
    if isinstance(W, np.ndarray):
        return [W[:, begin:end] for begin, end in places]
    return [W.columns(begin, end) for begin, end in places]


def add_to(totals: Iterable[Array | None], parts: Iterable[Array | None]) -> None:
    """Add to each of the totals its part; None is what a cell does not have."""
    for total, part in zip(totals, parts, strict=True):
        if total is not None:
            total += part


def zeros_of(arrays: Iterable[Array | None]) -> Weights:
    """Return zeros for the totals of `add_to`, of the shape of each array; None stays None."""
    return tuple(None if array is None else np.zeros_like(array) for array in arrays)
