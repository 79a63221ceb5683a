"""The embedding: row ``ids[m]`` of a table, which is a one-hot vector times a matrix."""

from __future__ import annotations

import numpy as np

from .types import Array


def embedding_forward(ids: Array, W: Array) -> Array:
    """Return the rows ``(M, D)`` of ``W (V, D)`` that ``ids (M,)`` names."""
    return W[ids]


def embedding_backward(dy: Array, ids: Array, num_embeddings: int) -> Array:
    """Return ``dW (V, D)`` for ``dy (M, D)``; an id that occurs twice collects both rows."""
    dW = np.zeros((num_embeddings, dy.shape[1]), dy.dtype)
    np.add.at(dW, ids, dy)  # W[ids]
    return dW
