"""The base class of layers with a recurrent cell, for one step or over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastrnn._cells import Cell, Options
from fastrnn._check import Array
from fastrnn.compat._layer import Layer, float32


def textbook(cell: Cell) -> Options:
    """Return what the backends are told if a cell's gates lie in the order of textbooks."""
    return {"textbook": True} if "textbook" in cell.orders else {}


def check_weights(
    layer: str, cell: Cell, params: Sequence[Any], names: Sequence[str] = ("Wx", "Wh", "b")
) -> None:
    """Raise unless Wx, Wh and b are those of one cell."""
    columns = f"{len(cell.gates)}*H"
    D = len(float32(layer, names[0], params[0], ("D", columns)))
    H = len(float32(layer, names[1], params[1], ("H", columns)))
    for name, param, shape in zip(names, params, cell.shapes(D, H).values(), strict=False):
        float32(layer, name, param, shape)


class CellLayer(Layer):
    """The base class of layers with one cell.

    Parameters
    ----------
    Wx : array (D, gates * H)
        Input weights.
    Wh : array (H, gates * H)
        Recurrent weights.
    b : array (gates * H,)
        Bias.
    """

    _cell: ClassVar[Cell]

    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        super().__init__(Wx=Wx, Wh=Wh, b=b)
        check_weights(self._name, self._cell, self.params)

    def _weights(self) -> list[Array | None]:
        """Return the weights as they are now, checked; without `bh` a GRU resets first."""
        weights: list[Array | None] = [
            self._float32(name, param, grad.shape, contiguous=True)
            for name, param, grad in zip(("Wx", "Wh", "b"), self.params, self.grads, strict=True)
        ]
        return weights if self._cell.split_bias is None else [*weights, None]
