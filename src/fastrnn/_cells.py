"""The registry of cells: what a cell is stands here, once, and no other file asks for its name.

To add a cell is to add a row here; docs/adding-a-cell.md has the other steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Options = Mapping[str, Any]

NO_OPTIONS: Options = MappingProxyType({})

FIRST_RESIDUAL = 2
"""In a residual stack the layers from this one on, counted from 0, add their inputs to their
outputs (Wu et al. 2016, section 3.1)."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell.

    Attributes
    ----------
    name : str
        Of its functions and files: ``lstm_forward``, ``lstm.py``.
    title : str
        Of its layer, and at the beginning of messages.
    gates : tuple of str
        In the order in which they lie side by side in the weights.
    states : tuple of str
        The hidden state h comes first.
    split_bias : str or None
        The last gate, if it may have a bias `bh` (H,) of its own, beside that in b, for its product
        with h.
    open_gates : tuple of str
        The gates whose bias is 1 at first; all others are 0.
    options : mapping of str to tuple
        The options of its layer with their values, the default first.
    orders : mapping of str to tuple of str
        The gates in the order of other libraries, where it is another one.
    complements : mapping of str to tuple of str
        Gates that a library defines as 1 minus ours.
    activations : mapping of tuple of str to mapping
        The activations of ONNX's operator that the cell has, with the options for them; the first
        are the operator's default.
    """

    name: str
    title: str
    gates: tuple[str, ...]
    states: tuple[str, ...] = ("h",)
    split_bias: str | None = None
    open_gates: tuple[str, ...] = ()
    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    activations: Mapping[tuple[str, ...], Options] = field(default_factory=dict)

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the arrays that the cell takes, of which bh may be None."""
        return ("Wx", "Wh", "b") if self.split_bias is None else ("Wx", "Wh", "b", "bh")

    def shapes(self, D: int, H: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of `weights` by name."""
        G = len(self.gates) * H
        shapes = {"Wx": (D, G), "Wh": (H, G), "b": (G,), "bh": (H,)}
        return {name: shapes[name] for name in self.weights}

    def order(self, library: str) -> tuple[str, ...]:
        """Return the gates in the order of a library."""
        return self.orders.get(library, self.gates)


CELLS: dict[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell(
            "rnn",
            "RNN",
            gates=("n",),
            options={"nonlinearity": ("tanh", "relu")},
            activations={("Tanh",): {"nonlinearity": "tanh"}, ("Relu",): {"nonlinearity": "relu"}},
        ),
        Cell(
            "lstm",
            "LSTM",
            gates=("i", "f", "g", "o"),
            states=("h", "c"),
            open_gates=("f",),
            orders={"onnx": ("i", "o", "f", "g"), "textbook": ("f", "g", "i", "o")},
            activations={("Sigmoid", "Tanh", "Tanh"): NO_OPTIONS},
        ),
        Cell(
            "gru",
            "GRU",
            gates=("r", "z", "n"),
            split_bias="n",
            options={"reset_after": (True, False)},
            orders={"keras": ("z", "r", "n"), "onnx": ("z", "r", "n"), "textbook": ("z", "r", "n")},
            complements={"textbook": ("z",)},
            activations={("Sigmoid", "Tanh"): NO_OPTIONS},
        ),
    )
}
