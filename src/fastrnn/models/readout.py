"""The features for the classifier from the attention context c and the output h."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.layers import Layer, Linear, Tanh
from fastrnn.models.base import Array

READOUTS = ("concat", "tanh")


def features_size(kind: str, context_size: int, hidden_size: int, size: int) -> int:
    """Return the size of the features of a readout."""
    return size if kind == "tanh" else context_size + hidden_size


class Readout:
    """Features ``[c; h]`` or ``tanh([c; h] W + b)`` (Luong, Pham and Manning 2015, equation 5).

    Parameters
    ----------
    kind : {"concat", "tanh"}
        The first or the second form.
    context_size, hidden_size : int
        Sizes M of c and H of h.
    size : int
        Size R of the features of "tanh"; "concat" has M + H.
    dtype, rng
        As for `Seq2Seq`.
    """

    def __init__(
        self,
        kind: str,
        context_size: int,
        hidden_size: int,
        size: int,
        *,
        dtype: Any,
        rng: np.random.Generator,
    ) -> None:
        self.context_size = context_size
        self.linear: Linear | None = None
        if kind == "tanh":
            self.linear = Linear(context_size + hidden_size, size, dtype=dtype, rng=rng)
        self.tanh = Tanh()
        self.size = features_size(kind, context_size, hidden_size, size)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        if self.linear is None:
            return {}
        return {"readout": self.linear, "readout_tanh": self.tanh}

    @property
    def weights(self) -> tuple[Array, Array] | None:
        """W and b; None for "concat"."""
        if self.linear is None:
            return None
        return self.linear.params["W"], self.linear.params["b"]

    def forward(self, context: Array, h: Array) -> Array:
        """Return the features (..., R) of c (..., M) and h (..., H)."""
        both = np.concatenate([context, h], axis=-1)
        return both if self.linear is None else self.tanh(self.linear(both))

    def backward(self, dfeatures: Array) -> tuple[Array, Array]:
        """Return the gradients of c and h, views of one array."""
        if self.linear is not None:
            # features = tanh([c; h] W + b)
            dfeatures = self.linear.backward(self.tanh.backward(dfeatures))
        # [c; h]
        return dfeatures[..., : self.context_size], dfeatures[..., self.context_size :]
