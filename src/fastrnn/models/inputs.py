"""What recurrent layers are given of tokens: rows of an embedding, some numbers of them dropped."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.layers import Dropout, Embedding
from fastrnn.models.base import Array


class TokenInputs:
    """Tokens on their way through an embedding and dropout into recurrent layers.

    Where nothing is dropped the recurrent layers take the tokens themselves with the embedding,
    and meet each of its rows but once.
    """

    def __init__(self, embedding: Embedding, dropout: Dropout) -> None:
        self.embedding = embedding
        self.dropout = dropout
        self._whole = False  # whether the last `forward` left all to the recurrent layers

    def forward(self, tokens: Array) -> tuple[Array, dict[str, Any]]:
        """Give x for the recurrent layers, and what they take by name beside it."""
        self._whole = not (self.dropout.training and self.dropout.p)
        if self._whole:
            return tokens, {"embedding": self.embedding.params["W"]}
        return self.rows(tokens), {}

    def rows(self, tokens: Array) -> Array:
        """Give the vectors (N, T, D) of the tokens (N, T)."""
        self._whole = False
        x: Array = self.dropout(self.embedding(tokens))
        return x

    def backward(self, dx: Array) -> None:
        """Fill the embedding's gradient from what the recurrent layers' backward returned."""
        if self._whole:
            np.copyto(self.embedding.grads["W"], dx)
        else:
            self.embedding.backward(self.dropout.backward(dx))
