"""The recurrent operators and fastrnn's cells: order of gates and conversion of weights.

ONNX has W (dirs, G*H, D), R (dirs, G*H, H) and B (dirs, 2*G*H), the biases Wb and Rb in one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastrnn._cells import CELLS, Cell
from fastrnn._check import Array

OPERATORS = {cell.title: cell for cell in CELLS.values() if cell.activations}
"""The cells by the names of ONNX's operators."""


def to_rows(cell: Cell, ours: Array) -> Array:
    """Return (D, G*H) or (G*H,) with our gates as ONNX's rows."""
    return _reordered(ours.T, cell.gates, cell.order("onnx"))


def from_rows(cell: Cell, rows: Array) -> Array:
    """Undo `to_rows`."""
    return np.ascontiguousarray(_reordered(rows, cell.order("onnx"), cell.gates).T)


def _reordered(rows: Array, order: Sequence[str], wanted: Sequence[str]) -> Array:
    gates = dict(zip(order, np.split(rows, len(order)), strict=True))
    return np.concatenate([gates[gate] for gate in wanted])


def from_onnx(
    cell: Cell, W: Array, R: Array, B: Array | None, *, reset_after: bool
) -> list[Array | None]:
    """Return the weights of one direction in fastrnn's layout."""
    width = len(W)
    Wb, Rb = np.zeros((2, width), W.dtype) if B is None else np.split(B, 2)
    H = R.shape[1]
    weights: list[Array | None] = [from_rows(cell, W), from_rows(cell, R)]
    if cell.split_bias is None:
        return [*weights, from_rows(cell, Wb + Rb)]
    if not reset_after:
        return [*weights, from_rows(cell, Wb + Rb), None]
    outside = np.concatenate([Wb[: 2 * H] + Rb[: 2 * H], Wb[2 * H :]])
    return [*weights, from_rows(cell, outside), Rb[2 * H :].copy()]


def to_onnx(cell: Cell, weights: Sequence[Array | None]) -> tuple[Array, Array, Array]:
    """Return W, R and B of one direction, from the weights as our cell takes them."""
    Wx, Wh, b, *rest = weights
    assert Wx is not None and Wh is not None and b is not None
    inside = np.zeros_like(b)
    if rest and rest[0] is not None:
        inside[-len(Wh) :] = rest[0]  # n is the last gate in both orders
    B = np.concatenate([to_rows(cell, b), to_rows(cell, inside)])
    return to_rows(cell, Wx), to_rows(cell, Wh), B
