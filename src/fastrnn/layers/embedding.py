"""The embedding layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array, Rng
from fastrnn.layers.base import Layer


class Embedding(Layer):
    """A table of vectors by integer id.

    Parameters
    ----------
    num_embeddings, embedding_size : int
        Number of vectors and their width.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the table.

    Notes
    -----
    The one key of `params` is W (num_embeddings, embedding_size), drawn from a normal distribution
    of variance 1 / embedding_size: vectors of length about 1.
    """

    _arguments = ("num_embeddings", "embedding_size", "dtype")

    def __init__(
        self,
        num_embeddings: int,
        embedding_size: int,
        *,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.num_embeddings = check.size(self._name, "num_embeddings", num_embeddings)
        self.embedding_size = check.size(self._name, "embedding_size", embedding_size)
        self.dtype = check.dtype(self._name, dtype)
        shape = (self.num_embeddings, self.embedding_size)
        check.parameters(self._name, [(shape, 1)], self.dtype)
        self._add("W", self._normal(shape, self.embedding_size, self.dtype))

    def forward(self, ids: Any) -> Array:
        """Return the vectors (..., embedding_size) of the integer `ids` (...)."""
        y, stash = ops.embedding_forward(ids, self.param("W"), backend=self._backend)
        if self.training:
            self._tape = stash
        return y

    def backward(self, dy: Any) -> None:
        """Fill `grads` given the gradient of the vectors; ids have none."""
        self._set_grads({"W": ops.embedding_backward(dy, self._recorded())})
