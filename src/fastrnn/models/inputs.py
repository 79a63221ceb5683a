"""The inputs of recurrent layers from tokens: rows of an embedding, with dropout."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import Dropout, Embedding
from fastrnn.models.base import Array


class TokenInputs:
    """An embedding and dropout in front of recurrent layers.

    Without dropout the recurrent layers get the tokens and the embedding, and multiply each row of
    the embedding only once.
    """

    def __init__(self, embedding: Embedding, dropout: Dropout) -> None:
        self.embedding = embedding
        self.dropout = dropout
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

    def backward(self, dx: Array) -> None:
        """Fill the embedding's gradient from that of the recurrent layers' inputs."""
        if self._whole:
            np.copyto(self.embedding.grads["W"], dx)
        else:
            self.embedding.backward(self.dropout.backward(dx))
