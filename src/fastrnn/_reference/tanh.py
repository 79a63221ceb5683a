"""The hyperbolic tangent as a layer of its own."""

from __future__ import annotations

import numpy as np

from .types import Array


def tanh(x: Array) -> Array:
    """Return ``tanh(x)``."""
    y: Array = np.tanh(x)
    return y


def tanh_backward(dy: Array, y: Array) -> Array:
    """Return dx given dy and ``y = tanh(x)``."""
    dx: Array = dy * (1 - y * y)  # y = np.tanh(x)
    return dx
