"""The bridge from an encoder's final state to a decoder's initial state."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.layers import Layer, Linear, Tanh
from fastrnn.models.base import Array, State, arrays_of, map_state, state_of

BRIDGES = ("linear", "tanh")


class Bridge:
    """Select the last layers of a state and optionally map each with its own weights.

    Parameters
    ----------
    kind : {None, "linear", "tanh"}
        None passes the state unchanged; "linear" maps h (and c) of each layer with its own `W`
        and `b`; "tanh" also applies tanh, as D. Bahdanau, K. Cho and Y. Bengio, 2015, appendix
        A.2.2, do for their single layer.
    cell, hidden_size, dtype, rng
        As for `Seq2Seq`.
    num_layers : int
        Number of layers of the decoder.
    hidden_only : bool
        Pass zeros instead of an LSTM's c; only with `kind` None.
    """

    def __init__(
        self,
        kind: str | None,
        *,
        cell: str,
        hidden_size: int,
        num_layers: int,
        hidden_only: bool,
        dtype: Any,
        rng: np.random.Generator,
    ) -> None:
        names = () if kind is None else ("h", "c") if cell == "lstm" else ("h",)
        self.num_layers = num_layers
        self.hidden_only = hidden_only
        self._maps = {
            f"{name}_l{layer}": Linear(hidden_size, hidden_size, dtype=dtype, rng=rng)
            for name in names
            for layer in range(num_layers)
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
