"""The nonlinearity that NumPy lacks."""

from __future__ import annotations

import numpy as np

from .types import Array


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))`` with full relative accuracy at both ends.

    Only ``exp(-|x|)`` is ever formed, so nothing overflows; NaN stays NaN.
    """
    e = np.exp(-np.abs(x))
    y: Array = np.where(x < 0, e, 1) / (1 + e)
    return y
