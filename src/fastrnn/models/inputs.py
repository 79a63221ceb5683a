"""The inputs of recurrent layers from tokens: rows of an embedding, with dropout."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import Dropout, Embedding, Linear
from fastrnn.models.base import Array


class TokenInputs:
    """An embedding and dropout in front of recurrent layers.

    Without dropout the recurrent layers get the tokens and the embedding, and multiply each row of
    the embedding only once. A `tied` classifier uses the embedding's matrix, transposed (Press and
    Wolf 2017).
    """

    def __init__(self, embedding: Embedding, dropout: Dropout, tied: Linear | None = None) -> None:
        self.embedding = embedding
        self.dropout = dropout
        self.tied = tied
        self._whole = False  # whether the last `forward` passed the embedding on

    def forward(self, tokens: Array) -> tuple[Array, Array | None]:
        """Return x for the recurrent layers and their argument `embedding`."""
        if self.dropout.training and self.dropout.p:
            return self.rows(tokens), None
        self._whole = True
        return tokens, self.embedding.params["W"]

    def rows(self, tokens: Array) -> Array:
        """Return the vectors (N, T, D) of the tokens (N, T)."""
        self._whole = False
        return self.dropout.forward(self.embedding(tokens))

    def tie(self) -> None:
        """Give a tied classifier its matrix: a copy or a user may have replaced the embedding's."""
        if self.tied is not None:
            self.tied.params["W"] = self.embedding.params["W"].T

    def backward(self, dx: Array) -> None:
        """Fill the embedding's gradient from that of x, after a tied classifier's backward."""
        if self._whole:
            self.embedding._set_grads({"W": dx})
        else:
            self.embedding.backward(self.dropout.backward(dx))
        if self.tied is not None:
            both = self.embedding.grads["W"], self.tied.grads["W"].T
            self.embedding._write(np.add, *both, both[0])
