"""Built-in cells with the options of other libraries, as programs, and how their weights lie.

A variant has other activations, clipped inputs of them, peepholes, coupled gates or a projection.
Its weights are those of the built-in cell, without gates that it lacks, and its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastrnn._cells import CELLS, Cell
from fastrnn._check import Array
from fastrnn.cell.definition import define
from fastrnn.cell.library.coupled_lstm import coupled_lstm
from fastrnn.cell.library.peephole_lstm import peephole_lstm
from fastrnn.cell.words import clip, matmul, sigmoid, tanh
from fastrnn.layers import RECURRENT, Recurrent
from fastrnn.layers.library import CoupledLSTM, PeepholeLSTM
from fastrnn.layers.recurrent import RecurrentLayer

Function = Callable[..., Any]

LAYERS: dict[Cell, type[RecurrentLayer]] = {
    peephole_lstm: PeepholeLSTM,
    coupled_lstm: CoupledLSTM,
}
"""The layers of the variants that are cells of the library."""

PEEPHOLES = {"i": "p_i", "f": "p_f", "o": "p_o"}
"""The weights of c by the gates that see it."""


class Activation(NamedTuple):
    """A function in words of the language, of a value and these parameters."""

    function: Function
    parameters: tuple[float, ...] = ()

    def __call__(self, v: Any) -> Any:
        """Return the function of a value."""
        return self.function(v, *self.parameters)


class Variant(NamedTuple):
    """A built-in cell, by its name, with other options."""

    name: str
    activations: tuple[Activation, ...]  # in the order of ONNX's
    limit: float | None = None  # clips their inputs
    peepholes: bool = False
    coupled: bool = False  # the forget gate is 1 - i
    reset_after: bool = True

    @property
    def cell(self) -> Cell:
        """The variant in the language of cells."""
        return _cell(self)

    @property
    def gates(self) -> tuple[str, ...]:
        """Those of the built-in cell, but not a forget gate that is 1 - i."""
        gates = CELLS[self.name].gates
        return tuple(gate for gate in gates if not (self.coupled and gate == "f"))

    @property
    def weights(self) -> tuple[str, ...]:
        """Its weights of one number a hidden unit."""
        if CELLS[self.name].split_bias is not None:
            return ("bh",) if self.reset_after else ()
        return tuple(PEEPHOLES[g] for g in self.gates if self.peepholes and g in PEEPHOLES)

    def step(self) -> Function:
        """Return the function that `define` makes the cell of."""
        functions = [partial(_clipped, activation, self.limit) for activation in self.activations]
        base = CELLS[self.name]
        if len(base.states) > 1:
            return _lstm(self, *functions)
        return _rnn(*functions) if base.split_bias is None else _gru(self, *functions)


_USUAL = (Activation(sigmoid), Activation(tanh), Activation(tanh))

LIBRARY = {
    Variant("lstm", _USUAL, peepholes=True): peephole_lstm,
    Variant("lstm", _USUAL, coupled=True): coupled_lstm,
}
"""The variants that are cells of the library."""


@lru_cache(maxsize=256)
def _cell(variant: Variant) -> Cell:
    if variant in LIBRARY:
        return LIBRARY[variant]
    states = CELLS[variant.name].states
    return define(gates=variant.gates, states=states, weights=variant.weights)(variant.step())


def _clipped(activation: Activation, limit: float | None, v: Any) -> Any:
    return activation(v if limit is None else clip(v, -limit, limit))


def _rnn(f: Function) -> Function:
    def rnn_variant(a: Any, s: Any, w: Any) -> dict[str, Any]:
        return {"h": f(a.n)}

    return rnn_variant


def _gru(variant: Variant, f: Function, g: Function) -> Function:
    def gru_variant(a: Any, s: Any, w: Any) -> dict[str, Any]:
        r, z = f(a.r), f(a.z)
        n = g(a.x.n + (r * (a.h.n + w.bh) if variant.reset_after else matmul(r * s.h, "Un")))
        return {"h": (1 - z) * n + z * s.h}

    return gru_variant


def _lstm(variant: Variant, f: Function, g: Function, h: Function) -> Function:
    def lstm_variant(a: Any, s: Any, w: Any) -> dict[str, Any]:
        def gate(name: str, c: Any) -> Any:
            inner = getattr(a, name)
            return f(inner + getattr(w, PEEPHOLES[name]) * c if variant.peepholes else inner)

        i = gate("i", s.c)
        c = (1 - i if variant.coupled else gate("f", s.c)) * s.c + i * g(a.g)
        return {"h": gate("o", c) * h(c), "c": c}

    return lstm_variant


def built(cell: Cell, *sizes: int, **options: Any) -> RecurrentLayer:
    """Return a layer of a built-in cell or a variant."""
    known = RECURRENT.get(cell.name) if cell.program is None else LAYERS.get(cell)
    return Recurrent(cell, *sizes, **options) if known is None else known(*sizes, **options)


def base_of(cell: Cell) -> Cell | None:
    """Return the built-in cell of which a cell has the weights, with others of a variant or not.

    None if there is none; what the cell computes is not looked at.
    """
    if cell.program is None:
        return cell
    for base in CELLS.values():
        gates, weights = {*base.gates}, {"Wx", "Wh", "b"}
        if (
            gates - {"f"} <= {*cell.gates} <= gates  # without f they are coupled
            and weights <= {*cell.weights} <= weights | _own(base)
            and cell.states == base.states
        ):
            return base
    return None


def _own(base: Cell) -> set[str]:
    """Return the weights of variants that the cell has not, or has as a part of another."""
    if len(base.states) > 1:
        return {*PEEPHOLES.values(), "Wp"}
    return set() if base.split_bias is None else {"bh", "Un"}


def arranged(
    cell: Cell, weights: Sequence[Array | None], own: Mapping[str, Array]
) -> list[Array | None]:
    """Return the weights of a built-in cell in the order of a variant's, with its own."""
    base = base_of(cell)
    if base is None or base is cell:
        return list(weights)
    Wx, Wh, b, *split = weights
    named = {
        "Wx": _joined(cell.x_gates, _gates(base, Wx)),
        "Wh": _joined(cell.h_gates, _gates(base, Wh)),
        "b": _joined(cell.x_gates, _gates(base, b)),
        "bh": split[0] if split else None,
        "Un": _gates(base, Wh).get("n"),
        **own,
    }
    return [named[name] for name in cell.weights]


def plain(cell: Cell, weights: Sequence[Any]) -> tuple[Cell, list[Any]]:
    """Return the built-in cell of a variant, and the weights for it, 0 for gates that it lacks."""
    base = base_of(cell)
    if base is None:
        raise ValueError(f"{cell.title}: no other library has a cell of these weights")
    if base is cell:
        return cell, list(weights)
    named = dict(zip(cell.weights, weights, strict=True))
    Wx, b = (dict(_pieces(cell.x_gates, named[key])) for key in ("Wx", "b"))
    Wh = dict(_pieces(cell.h_gates, named["Wh"]))
    if "Un" in named:
        Wh["n"] = named["Un"]
    whole = [_filled(base.gates, parts) for parts in (Wx, Wh, b)]
    return base, whole if base.split_bias is None else [*whole, named.get("bh")]


def _gates(base: Cell, array: Any) -> dict[str, Array]:
    return dict(_pieces(base.gates, array))


def _pieces(gates: Sequence[str], array: Any) -> Any:
    return zip(gates, np.split(array, len(gates), axis=-1), strict=True)


def _joined(gates: Sequence[str], parts: Mapping[str, Array]) -> Array:
    return np.concatenate([parts[gate] for gate in gates], axis=-1)


def _filled(gates: Sequence[str], parts: Mapping[str, Array]) -> Array:
    """Return the parts of all gates, side by side; those that are missing are 0."""
    nothing = np.zeros_like(next(iter(parts.values())))
    return _joined(gates, {gate: parts.get(gate, nothing) for gate in gates})
