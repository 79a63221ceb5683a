"""Which positions of a batch belong to its sequences."""

from __future__ import annotations

import numpy as np

from fastrnn.models.base import Array

SUM_BLOCK = 1024


def sum_of_steps(x: Array) -> Array:
    """Return the sum of x (N, T, ...) over T, in blocks: NumPy adds one step to another."""
    first, *others = (
        x[:, t : t + SUM_BLOCK].sum(axis=1) for t in range(0, max(x.shape[1], 1), SUM_BLOCK)
    )
    total: Array = sum(others, first)
    return total


class Padding:
    """The positions (N, T) of a batch: L belong to its sequences, the others are padding.

    The layers after the recurrence treat each position alone, so they get only those L. `lengths`
    (N,) are the numbers of steps of the sequences; None means T.
    """

    def __init__(self, lengths: Array | None, N: int, T: int) -> None:
        self.lengths = lengths
        self.shape = N, T
        self._kept: Array | None = None  # mask of the L positions, if there is any padding
        if lengths is not None and (lengths < T).any():
            self._kept = np.arange(T) < lengths[:, None]

    def remove(self, x: Array) -> Array:
        """Return the rows (L, ...) of x (N, T, ...)."""
        N, T = self.shape
        return x.reshape(N * T, *x.shape[2:]) if self._kept is None else x[self._kept]

    def restore(self, rows: Array) -> Array:
        """Return (N, T, ...) with the rows (L, ...) at their positions and zeros elsewhere."""
        if self._kept is None:
            return rows.reshape(*self.shape, *rows.shape[1:])
        x = np.zeros((*self.shape, *rows.shape[1:]), rows.dtype)
        x[self._kept] = rows
        return x
