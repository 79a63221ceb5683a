"""The bridge from an encoder's final state to a decoder's initial state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._cells import CELLS
from fastrnn.layers import Layer, Linear, Tanh
from fastrnn.models.base import Array, State, arrays_of, map_state, state_of

BRIDGES = ("linear", "tanh")


class Bridge:
    """Select the last layers of a state and optionally map each with its own weights.

    Parameters
    ----------
    options : mapping
        The checked arguments of a `Seq2Seq`. Its `bridge` None passes the state unchanged; "linear"
        maps h (and c) of each layer with its own `W` and `b`; "tanh" also applies tanh, as
        D. Bahdanau, K. Cho and Y. Bengio, 2015, appendix A.2.2, do for their single layer.
        `hidden_only` passes zeros instead of an LSTM's c.
    rng : numpy.random.Generator
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        kind, H = options["bridge"], options["hidden_size"]
        names = () if kind is None else CELLS[options["cell"]].states
        self.num_layers = options["decoder_layers"]
        self.hidden_only = options["hidden_only"]
        self._maps = {
            f"{name}_l{layer}": Linear(H, H, dtype=options["dtype"], rng=rng)
            for name in names
            for layer in range(self.num_layers)
        }
        self._tanhs = {f"{name}_tanh": Tanh() for name in names if kind == "tanh"}

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        return {**self._maps, **self._tanhs}

    def forward(self, state: State) -> State:
        """Return the initial state (num_layers, N, H) from a final state of at least as many."""
        state = map_state(self._last, state)
        if self.hidden_only:
            state = _with_zero_cell(state)
        return self._mapped(state) if self._maps else state

    def _mapped(self, state: State) -> State:
        parts = self._maps.values()
        rows = [row for array in arrays_of(state) for row in array]
        mapped = np.stack([part(row) for part, row in zip(parts, rows, strict=True)])
        arrays = list(mapped.reshape(-1, self.num_layers, *mapped.shape[1:]))
        for index, tanh in enumerate(self._tanhs.values()):
            arrays[index] = tanh(arrays[index])
        return state_of(arrays)

    def _last(self, array: Array) -> Array:
        return array[-self.num_layers :]

    def backward(self, dstate: State, num_layers: int) -> State:
        """Return the gradient of the final state (num_layers, N, H) from the initial state's."""
        if self._maps:
            dstate = self._mapped_backward(dstate)
        if self.hidden_only:
            dstate = _with_zero_cell(dstate)
        unused = num_layers - self.num_layers  # the decoder does not use the states of these layers
        return map_state(lambda d: np.pad(d, ((unused, 0), (0, 0), (0, 0))), dstate)

    def _mapped_backward(self, dstate: State) -> State:
        arrays = arrays_of(dstate)
        for index, tanh in enumerate(self._tanhs.values()):
            arrays[index] = tanh.backward(arrays[index])
        parts = self._maps.values()
        rows = [row for array in arrays for row in array]
        drows = np.stack([part.backward(row) for part, row in zip(parts, rows, strict=True)])
        return state_of(list(drows.reshape(-1, self.num_layers, *drows.shape[1:])))


def _with_zero_cell(state: State) -> State:
    """Replace c by zeros, if there is one; the backward is the same function."""
    return (state[0], np.zeros_like(state[1])) if isinstance(state, tuple) else state
