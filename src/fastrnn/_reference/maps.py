"""Maps of each entry, row or vector on its own: linear, embedding, dropout, tanh and sigmoid."""

from __future__ import annotations

import numpy as np

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


def embedding_forward(ids: Array, W: Array) -> Array:
    """Return the rows ``(M, D)`` of ``W (V, D)`` that ``ids (M,)`` names."""
    return W[ids]


def embedding_backward(dy: Array, ids: Array, num_embeddings: int) -> Array:
    """Return ``dW (V, D)`` for ``dy (M, D)``; an id that occurs twice collects both rows."""
    dW = np.zeros((num_embeddings, dy.shape[1]), dy.dtype)
    np.add.at(dW, ids, dy)  # W[ids]
    return dW


def dropout(x: Array, keep: Array, scale: float) -> Array:
    """Return ``x * keep * scale``; ``keep`` is boolean and ``scale`` is ``1 / (1 - p)``.

    Inverted dropout (Srivastava et al. 2014). As the map is diagonal, the same call carries ``dy``
    to ``dx``.
    """
    return x * keep * scale


def tanh(x: Array) -> Array:
    """Return ``tanh(x)``."""
    y: Array = np.tanh(x)
    return y


def tanh_backward(dy: Array, y: Array) -> Array:
    """Return dx given dy and ``y = tanh(x)``."""
    dx: Array = dy * (1 - y * y)  # y = np.tanh(x)
    return dx


def sigmoid(x: Array) -> Array:
    """Return ``1 / (1 + exp(-x))`` with full relative accuracy at both ends.

    Only ``exp(-|x|)`` is ever formed, so nothing overflows; NaN stays NaN.
    """
    e = np.exp(-np.abs(x))
    y: Array = np.where(x < 0, e, 1) / (1 + e)
    return y
