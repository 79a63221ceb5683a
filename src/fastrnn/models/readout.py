"""The features for the classifier from the attention context c and the output h."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.layers import Linear, Tanh
from fastrnn.models.base import Array

READOUTS = ("concat", "tanh")


def features_size(options: Mapping[str, Any]) -> int:
    """Return the size of the features, from the checked arguments of a `Seq2Seq`."""
    H: int = options["hidden_size"]
    if options["readout"] == "tanh":
        return options["readout_size"] or H
    return H if options["attention"] is None else 2 * H


class Readout:
    """Features ``[c; h]`` or ``tanh([c; h] W + b)`` (Luong, Pham and Manning 2015, equation 5).

    `options` are the checked arguments of a `Seq2Seq`.
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        self.size = features_size(options)
        self.layers: dict[str, Linear | Tanh] = {}
        if options["readout"] == "tanh":
            width = 2 * options["hidden_size"]
            linear = Linear(width, self.size, dtype=options["dtype"], rng=rng)
            self.layers = {"readout": linear, "readout_tanh": Tanh()}

    @property
    def weights(self) -> tuple[Array, Array] | None:
        """W and b; None for "concat"."""
        if not self.layers:
            return None
        params = self.layers["readout"].params
        return params["W"], params["b"]

    def forward(self, context: Array, h: Array) -> Array:
        """Return the features (..., R) of c (..., H) and h (..., H)."""
        features = np.concatenate([context, h], axis=-1)
        for layer in self.layers.values():
            features = layer(features)
        return features

    def backward(self, dfeatures: Array) -> list[Array]:
        """Return the gradients of c and h, views of one array."""
        for layer in reversed(self.layers.values()):
            dfeatures = layer.backward(dfeatures)
        return np.split(dfeatures, 2, axis=-1)
