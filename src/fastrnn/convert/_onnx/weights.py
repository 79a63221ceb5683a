"""The recurrent operators and fastrnn's cells: order of gates and conversion of weights.

ONNX has W (dirs, G*H, D), R (dirs, G*H, H) and B (dirs, 2*G*H), the biases Wb and Rb in one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fastrnn.layers import GRU, LSTM, RNN
from fastrnn.ops._check import Array
from fastrnn.ops._recurrent import Cell

Layer: TypeAlias = "RNN | GRU | LSTM"


@dataclass(frozen=True)
class Kind:
    """An operator and the fastrnn layer for it."""

    layer: type[RNN] | type[GRU] | type[LSTM]
    order: tuple[int, ...]  # for each gate of ONNX in order, the number of fastrnn's gate
    # the options by activations; the first are the defaults
    compiled: Mapping[tuple[str, ...], Mapping[str, Any]]

    @property
    def cell(self) -> Cell:
        """The description of the cell in `ops`."""
        return self.layer._cell

    @property
    def activations(self) -> tuple[str, ...]:
        """The default activations."""
        return next(iter(self.compiled))

    def to_rows(self, ours: Array) -> Array:
        """Return (D, G*H) or (G*H,) transposed to rows in ONNX's order of gates."""
        gates = np.split(ours.T, self.cell.gates)
        return np.concatenate([gates[gate] for gate in self.order])

    def from_rows(self, rows: Array) -> Array:
        """Invert `to_rows`."""
        gates = np.split(rows, self.cell.gates)
        ordered = [gates[self.order.index(gate)] for gate in range(self.cell.gates)]
        return np.ascontiguousarray(np.concatenate(ordered).T)


KINDS = {
    "RNN": Kind(
        RNN, (0,), {("Tanh",): {"nonlinearity": "tanh"}, ("Relu",): {"nonlinearity": "relu"}}
    ),
    "GRU": Kind(GRU, (1, 0, 2), {("Sigmoid", "Tanh"): {}}),  # z, r, h in ONNX
    "LSTM": Kind(LSTM, (0, 3, 1, 2), {("Sigmoid", "Tanh", "Tanh"): {}}),  # i, o, f, c in ONNX
}


def from_onnx(
    kind: Kind, W: Array, R: Array, B: Array | None, *, reset_after: bool
) -> list[Array | None]:
    """Return the weights of one direction in fastrnn's layout."""
    width = len(W)
    Wb, Rb = np.zeros((2, width), W.dtype) if B is None else np.split(B, 2)
    H = R.shape[1]
    weights: list[Array | None] = [kind.from_rows(W), kind.from_rows(R)]
    if kind.layer is not GRU:
        return [*weights, kind.from_rows(Wb + Rb)]
    if not reset_after:
        return [*weights, kind.from_rows(Wb + Rb), None]
    outside = np.concatenate([Wb[: 2 * H] + Rb[: 2 * H], Wb[2 * H :]])
    return [*weights, kind.from_rows(outside), Rb[2 * H :].copy()]


def to_onnx(kind: Kind, weights: Sequence[Array | None]) -> tuple[Array, Array, Array]:
    """Return W, R and B of one direction from weights in fastrnn's layout."""
    Wx, Wh, b, *rest = weights
    assert Wx is not None and Wh is not None and b is not None
    inside = np.zeros_like(b)
    if rest and rest[0] is not None:
        inside[-len(Wh) :] = rest[0]  # n is the last gate in both orders
    B = np.concatenate([kind.to_rows(b), kind.to_rows(inside)])
    return kind.to_rows(Wx), kind.to_rows(Wh), B
