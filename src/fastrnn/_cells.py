"""The registry of cells: what a cell is stands here, once, and no other file asks for its name.

To add a cell is to add a row here; docs/adding-a-cell.md has the other steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fastrnn._program import Program

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
    initial: Mapping[str, float] = field(default_factory=dict)
    program: Program | None = None

    @cached_property
    def x_gates(self) -> tuple[str, ...]:
        """The gates for which Wx and b have columns."""
        return self._gates_of("sum", "sum_x")

    @cached_property
    def h_gates(self) -> tuple[str, ...]:
        """The gates for which Wh has columns."""
        return self._gates_of("sum", "sum_h")

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """Names of the arrays that the cell takes, of which bh may be None."""
        program = self.program
        if program is None:
            return ("Wx", "Wh", "b") if self.split_bias is None else ("Wx", "Wh", "b", "bh")
        products = ("Wx", "Wh", "b") if self.h_gates else ("Wx", "b")
        projection = () if program.projection is None else (program.projection,)
        return (*products, *program.vectors, *program.matrices, *projection)

    @property
    def projection(self) -> str | None:
        """The name of the weights that make h narrower than the other states, if there are any."""
        return None if self.program is None else self.program.projection

    @property
    def keeps(self) -> tuple[float, ...]:
        """The probability of each mask that a step takes in training."""
        return () if self.program is None else self.program.keeps

    def widths(self, H: int, P: int) -> list[int]:
        """Return how many units each state has, of which h has P."""
        return [P, *[H] * (len(self.states) - 1)]

    def shapes(self, D: int, H: int, P: int | None = None) -> dict[str, tuple[int, ...]]:
        """Return the shapes of `weights` by name; h has P units, as the others unless projected."""
        P = H if P is None else P
        Gx, Gh = len(self.x_gates) * H, len(self.h_gates) * H
        shapes: dict[str, tuple[int, ...]] = {"Wx": (D, Gx), "Wh": (P, Gh), "b": (Gx,), "bh": (H,)}
        if self.program is not None:
            shapes |= dict.fromkeys(self.program.vectors, (H,))
            shapes |= dict.fromkeys(self.program.matrices, (H, H))
            shapes |= {self.program.projection or "": (H, P)}
        return {name: shapes[name] for name in self.weights}

    def _gates_of(self, *sums: str) -> tuple[str, ...]:
        """Return the gates that have one of these sums."""
        if self.program is None:
            return self.gates
        used = self.program.gates_of(*sums)
        return tuple(gate for gate in self.gates if gate in used)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        """Return the same cell: nothing of it changes."""
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let a pickle name a cell of the registry, and hold any other."""
        if CELLS.get(self.name) is self:
            return _registered, (self.name,)
        return super().__reduce_ex__(protocol)

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


def _registered(name: str) -> Cell:
    """Return a row, for a pickle."""
    return CELLS[name]
