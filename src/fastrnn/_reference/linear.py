"""The affine map ``y = x W + b``."""

from __future__ import annotations

from .types import Array


def linear_forward(x: Array, W: Array, b: Array | None, *, num_threads: int | None = None) -> Array:
    """Return ``y (M, O)`` for ``x (M, D)``, ``W (D, O)`` and ``b (O,)`` or None."""
    y = x @ W
    return y if b is None else y + b


def linear_backward(
    dy: Array, x: Array, W: Array, *, bias: bool, num_threads: int | None = None
) -> tuple[Array, Array, Array | None]:
    """Return ``(dx, dW, db)`` for ``dy (M, O)``; db is None without a bias."""
    dx = dy @ W.T  # y = x @ W
    dW = x.T @ dy  # y = x @ W
    db = dy.sum(axis=0) if bias else None  # y + b
    return dx, dW, db
