"""The weights of a recurrent cell in the gate order of other libraries and of fastrnn.

`CellWeights` is a form for the weights of all libraries: every gate in every array, and two
biases. This file converts it to and from fastrnn's parameters; the file of each library knows where
its arrays are and whether they are transposed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastrnn._check import Array
from fastrnn.layers.recurrent import Recurrent


class CellWeights(NamedTuple):
    """The weights of one layer in one direction."""

    Wx: Array  # (D, gates * H)
    Wh: Array  # (H, gates * H)
    bx: Array  # (gates * H,), added to the product with Wx
    bh: Array  # (gates * H,), added to the product with Wh


def suffixes(layer: Recurrent) -> list[str]:
    """Return the suffixes of the parameters' names, one for each layer and direction."""
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{k}{direction}" for k in range(layer.num_layers) for direction in directions]


def splits_bias(layer: Recurrent) -> bool:
    """Return whether the last gate's bias for the state is a parameter of its own."""
    return "bh_l0" in layer.params


def to_library(layer: Recurrent, suffix: str, library: str) -> CellWeights:
    """Return copies of the weights; the bias of a gate is bx, and bh is 0."""
    Wx, Wh, bx = (layer.params[name + suffix] for name in ("Wx", "Wh", "b"))
    bh = np.zeros_like(bx)
    if splits_bias(layer):
        bh[-layer.hidden_size :] = layer.params["bh" + suffix]
    return CellWeights(*(_reorder(layer, a, "fastrnn", library) for a in (Wx, Wh, bx, bh)))


def from_library(
    layer: Recurrent, suffix: str, library: str, weights: CellWeights
) -> dict[str, Array]:
    """Return the parameters; the two biases of a gate are added unless both are parameters."""
    Wx, Wh, bx, bh = (_reorder(layer, a, library, "fastrnn") for a in weights)
    params = {"Wx": Wx, "Wh": Wh, "b": bx + bh}
    if splits_bias(layer):
        H = layer.hidden_size
        params["b"][-H:] = bx[-H:]
        params["bh"] = bh[-H:]
    return {name + suffix: param for name, param in params.items()}


def _reorder(layer: Recurrent, array: Array, source: str, target: str) -> Array:
    """Return a C-contiguous copy with the gates, along the last axis, in another order."""
    order, wanted = layer.cell.order(source), layer.cell.order(target)
    gates = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.ascontiguousarray(np.concatenate([gates[gate] for gate in wanted], axis=-1))
