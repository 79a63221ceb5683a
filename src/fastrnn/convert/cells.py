"""The weights of a recurrent cell as other libraries have them, to and from fastrnn's.

`CellWeights` is a form for the weights of all libraries: every gate in every array, and two
biases. The file of each library knows where its arrays are and whether they are transposed. A
variant's own weights (`variants.py`), as peepholes, go beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from fastrnn._cells import Cell
from fastrnn._check import Array
from fastrnn.convert import variants
from fastrnn.layers.recurrent import RecurrentLayer

NOTHING: Mapping[str, Array] = MappingProxyType({})
"""No weights of its own."""


class CellWeights(NamedTuple):
    """The weights of one layer in one direction."""

    Wx: Array  # (D, gates * H)
    Wh: Array  # (H, gates * H)
    bx: Array  # (gates * H,), added to the product with Wx
    bh: Array  # (gates * H,), added to the product with Wh


def splits_bias(layer: RecurrentLayer) -> bool:
    """Return whether the last gate's bias for the state is a parameter of its own."""
    return "bh_l0" in layer.params


def of_layer(layer: RecurrentLayer, library: str) -> list[CellWeights]:
    """Return copies of the weights of each layer and direction, as a library has them."""
    return [to_library(layer.cell, weights, library) for weights in layer.weights()]


def params(
    layer: RecurrentLayer,
    library: str,
    cells: Iterable[CellWeights],
    own: Iterable[Mapping[str, Array]] | None = None,
) -> dict[str, Array]:
    """Return the parameters of a layer, from the weights of each layer and direction."""
    split = splits_bias(layer)
    arrays = [
        array
        for weights, own_weights in zip(cells, repeat(NOTHING) if own is None else own)  # noqa: B905
        for array in from_library(layer.cell, weights, library, split=split, own=own_weights)
        if array is not None
    ]
    return dict(zip(layer.grads, arrays, strict=True))


def to_library(cell: Cell, weights: Sequence[Any], library: str) -> CellWeights:
    """Return copies of the weights; the bias of a gate is bx, and bh is 0."""
    base, (Wx, Wh, bx, *split) = variants.plain(cell, weights)
    bh = np.zeros_like(bx)
    if split and split[0] is not None:
        bh[-len(Wh) :] = split[0]
    order = base.order(library)
    return CellWeights(*(_reordered(array, base.gates, order) for array in (Wx, Wh, bx, bh)))


def from_library(
    cell: Cell,
    weights: CellWeights,
    library: str,
    *,
    split: bool,
    own: Mapping[str, Array] = NOTHING,
) -> list[Array | None]:
    """Return copies of the weights in the order of `cell.weights`, with a variant's `own`.

    The two biases of a gate are added; with `split` those of the last gate stay apart.
    """
    base = variants.base_of(cell) or cell
    order = base.order(library)
    Wx, Wh, bx, bh = (_reordered(array, order, base.gates) for array in weights)
    b, last = bx + bh, slice(-len(Wh), None)
    if split:
        b[last] = bx[last]
    ready = [Wx, Wh, b, bh[last] if split else None][: len(base.weights)]
    return variants.arranged(cell, ready, own)


def _reordered(array: Array, order: Sequence[str], wanted: Sequence[str]) -> Array:
    """Return a C-contiguous copy with the gates, along the last axis, in another order."""
    gates = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.ascontiguousarray(np.concatenate([gates[gate] for gate in wanted], axis=-1))
