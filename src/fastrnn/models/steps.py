"""The steps that the sequences of a batch have, one sequence's after another's."""

from __future__ import annotations

import numpy as np

from fastrnn.models.base import Array


class Steps:
    """Which of the places (N, T) of a batch are steps of its sequences, L in all.

    What follows the recurrence takes steps one by one, so it is given them without the padding.

    Parameters
    ----------
    lengths : integer array (N,), or None
        The steps of each sequence; None: all are T.
    N, T : int
    """

    def __init__(self, lengths: Array | None, N: int, T: int) -> None:
        self.lengths = lengths
        self.shape = N, T
        self.mask: Array | None = None  # where there are any others
        if lengths is not None and (lengths < T).any():
            self.mask = np.arange(T) < lengths[:, None]

    def taken(self, x: Array) -> Array:
        """Return the steps (L, ...) of x (N, T, ...)."""
        N, T = self.shape
        return x.reshape(N * T, *x.shape[2:]) if self.mask is None else x[self.mask]

    def put_back(self, rows: Array) -> Array:
        """Return (N, T, ...) with the steps given by rows (L, ...), and zeros elsewhere."""
        if self.mask is None:
            return rows.reshape(*self.shape, *rows.shape[1:])
        x = np.zeros((*self.shape, *rows.shape[1:]), rows.dtype)
        x[self.mask] = rows
        return x
