"""The bridge from an encoder's final state to a decoder's initial state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.layers import Layer, Linear, Tanh
from fastrnn.layers.any_cell import cell_of
from fastrnn.models.base import Array

BRIDGES = ("linear", "tanh")


class Bridge:
    """Select the last layers of a state and optionally map each with its own weights.

    `options` are the checked arguments of a `Seq2Seq`. `bridge` None passes the state unchanged;
    "linear" maps h (and c) of each layer with its own `W` and `b`; "tanh" also applies tanh, as
    Bahdanau, Cho and Y. Bengio, 2015, appendix A.2.2, do for their single layer.
    `hidden_only` passes zeros instead of an LSTM's c.
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        kind, H = options["bridge"], options["hidden_size"]
        names = () if kind is None else cell_of("cell", options["cell"]).states
        self.num_layers = options["decoder_layers"]
        self.hidden_only = options["hidden_only"]
        self._maps = [
            [Linear(H, H, dtype=options["dtype"], rng=rng) for _ in range(self.num_layers)]
            for _ in names
        ]
        self._tanhs = [Tanh() for _ in names if kind == "tanh"]
        self.layers: dict[str, Layer] = {
            f"{name}_l{k}": layer
            for name, layers in zip(names, self._maps, strict=True)
            for k, layer in enumerate(layers)
        }
        self.layers |= {f"{n}_tanh": tanh for n, tanh in zip(names, self._tanhs, strict=False)}

    def forward(self, states: list[Array]) -> list[Array]:
        """Return the initial states (num_layers, N, H) from final ones of at least as many."""
        states = self._without_c([array[-self.num_layers :] for array in states])
        for index, layers in enumerate(self._maps):
            rows = zip(layers, states[index], strict=True)
            states[index] = np.stack([layer(row) for layer, row in rows])
        for index, tanh in enumerate(self._tanhs):
            states[index] = tanh(states[index])
        return states

    def backward(self, dstates: list[Array], num_layers: int) -> list[Array]:
        """Return the gradients of the final states (num_layers, N, H) from the initial ones'."""
        dstates = self._without_c(dstates)
        for index, tanh in enumerate(self._tanhs):
            dstates[index] = tanh.backward(dstates[index])
        for index, layers in enumerate(self._maps):
            rows = zip(layers, dstates[index], strict=True)
            dstates[index] = np.stack([layer.backward(row) for layer, row in rows])
        unused = num_layers - self.num_layers  # the decoder does not use the states of these layers
        return [np.pad(d, ((unused, 0), (0, 0), (0, 0))) for d in dstates]

    def _without_c(self, states: list[Array]) -> list[Array]:
        """Replace c by zeros with `hidden_only`; the backward is the same function."""
        h, *others = states
        return [h, *(map(np.zeros_like, others) if self.hidden_only else others)]
