"""The valid steps of a batch of sequences, without the padding."""

from __future__ import annotations

import numpy as np

from fastrnn.models.base import Array


class Steps:
    """The L valid steps among the positions (N, T) of a batch.

    The layers after the recurrence treat each step alone, so they get only the valid steps.

    Parameters
    ----------
    lengths : integer array (N,) or None
        Number of steps of each sequence; None means T.
    N, T : int
    """

    def __init__(self, lengths: Array | None, N: int, T: int) -> None:
        self.lengths = lengths
        self.shape = N, T
        self.mask: Array | None = None  # if there is any padding
        if lengths is not None and (lengths < T).any():
            self.mask = np.arange(T) < lengths[:, None]

    def taken(self, x: Array) -> Array:
        """Return the steps (L, ...) of x (N, T, ...)."""
        N, T = self.shape
        return x.reshape(N * T, *x.shape[2:]) if self.mask is None else x[self.mask]

    def put_back(self, rows: Array) -> Array:
        """Return (N, T, ...) with the rows (L, ...) at the steps and zeros elsewhere."""
        if self.mask is None:
            return rows.reshape(*self.shape, *rows.shape[1:])
        x = np.zeros((*self.shape, *rows.shape[1:]), rows.dtype)
        x[self.mask] = rows
        return x
