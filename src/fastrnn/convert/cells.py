"""The weights of a recurrent cell in the order of another library, and in ours.

A `CellWeights` is the form in which all libraries' weights can be written: every gate in every
array, and two biases. What is particular to ours is in this file; where a library keeps its
arrays, and whether transposed, is in the library's own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn._check import Array
from fastrnn.layers import GRU, LSTM, RNN
from fastrnn.layers.recurrent import Recurrent

# The gates of each library as they lie side by side.
_ORDERS: dict[str, dict[type[Recurrent], str]] = {
    "fastrnn": {RNN: "n", LSTM: "ifgo", GRU: "rzn"},
    "torch": {RNN: "n", LSTM: "ifgo", GRU: "rzn"},
    "keras": {RNN: "n", LSTM: "ifgo", GRU: "zrn"},
}


class CellWeights(NamedTuple):
    """One layer in one direction."""

    Wx: Array  # (D, gates * H)
    Wh: Array  # (H, gates * H)
    bx: Array  # (gates * H,), added to the product with Wx
    bh: Array  # (gates * H,), added to the product with Wh


def suffixes(layer: Recurrent) -> list[str]:
    """Return the ends of the parameters' names, one for each layer and direction."""
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{k}{direction}" for k in range(layer.num_layers) for direction in directions]


def resets_after(layer: Recurrent) -> bool:
    """Tell whether the state's bias of the gate n is a parameter of its own."""
    return isinstance(layer, GRU) and layer.reset_after


def to_library(layer: Recurrent, suffix: str, library: str) -> CellWeights:
    """Return copies of the weights; the one bias of a gate is bx, and bh is 0."""
    Wx, Wh, bx = (layer.params[name + suffix] for name in ("Wx", "Wh", "b"))
    bh = np.zeros_like(bx)
    if resets_after(layer):
        bh[-layer.hidden_size :] = layer.params["bh" + suffix]
    return CellWeights(*(_reorder(layer, a, "fastrnn", library) for a in (Wx, Wh, bx, bh)))


def from_library(
    layer: Recurrent, suffix: str, library: str, weights: CellWeights
) -> dict[str, Array]:
    """Return the parameters; a gate's two biases are added, except where both have a place."""
    Wx, Wh, bx, bh = (_reorder(layer, a, library, "fastrnn") for a in weights)
    params = {"Wx": Wx, "Wh": Wh, "b": bx + bh}
    if resets_after(layer):
        H = layer.hidden_size
        params["b"][-H:] = bx[-H:]
        params["bh"] = bh[-H:]
    return {name + suffix: param for name, param in params.items()}


def _reorder(layer: Recurrent, array: Array, source: str, target: str) -> Array:
    """Return a C-contiguous copy with the gates, along the last axis, in another order."""
    cell = next(cell for cell in _ORDERS[source] if isinstance(layer, cell))
    order, wanted = _ORDERS[source][cell], _ORDERS[target][cell]
    gates = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.ascontiguousarray(np.concatenate([gates[gate] for gate in wanted], axis=-1))
