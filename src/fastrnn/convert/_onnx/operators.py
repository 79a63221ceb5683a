"""The operators RNN, GRU and LSTM of ONNX: attributes, checks and computation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastrnn import _check as check
from fastrnn._cells import CELLS, NO_OPTIONS, Cell, Options
from fastrnn._check import Array
from fastrnn.convert import variants
from fastrnn.convert._onnx import activations
from fastrnn.convert._onnx.graph import Node
from fastrnn.convert.cells import CellWeights, from_library
from fastrnn.layers import Layer
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.ops import _recurrent

OPERATORS = {cell.title: cell for cell in CELLS.values() if cell.activations}
"""The cells by the names of ONNX's operators."""

# Inputs of LSTM; the others have the first ones.
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
WEIGHTS = ("W", "R", "B", "P")
PEEPHOLES = ("p_i", "p_o", "p_f")
"""A variant's names of the three parts of P."""

DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class Weights(NamedTuple):
    """The weights of all directions in fastrnn's layout."""

    cells: list[list[Any]]
    H: int


class Way(NamedTuple):
    """What runs a direction: a built-in cell with its options, or a variant."""

    cell: Cell
    options: Options


class Operator:
    """A recurrent operator with its attributes, checked.

    Attributes
    ----------
    base : Cell
        The built-in cell of this operator.
    ways : list of Way
        What runs each direction.
    """

    def __init__(self, owner: str, node: Node) -> None:
        self.owner, self.base = owner, OPERATORS[node.op]
        self.inputs = dict(zip(INPUTS, node.inputs, strict=False))
        given = node.attributes
        if missing := [name for name in INPUTS[:3] if not self.inputs.get(name)]:
            raise ValueError(f"{owner}: {', '.join(missing)} must be given")
        direction = check.option(owner, "direction", given.get("direction", "forward"), DIRECTIONS)
        self.reverse = DIRECTIONS[direction]
        self.layout = given.get("layout", 0)
        if self.layout not in (0, 1):
            raise ValueError(f"{owner}: layout must be 0 or 1, got {self.layout}")
        self.hidden_size = given.get("hidden_size")
        self.reset_after = bool(given.get("linear_before_reset", 0))
        self.ways = self._ways(given)
        self.differ = any(way != self.ways[0] for way in self.ways)

    def _ways(self, given: Mapping[str, Any]) -> list[Way]:
        """Return what runs each direction."""
        clip = given.get("clip")
        if clip is not None and not clip > 0:
            raise ValueError(f"{self.owner}: clip must be above 0, got {clip}")
        other: dict[str, Any] = {
            "limit": None if clip == math.inf else clip,
            "peepholes": bool(self.inputs.get("P")),
            "coupled": bool(given.get("input_forget", 0)),
        }
        names = self._activation_names(given)
        functions = self._functions(names, given)
        if not any(other.values()):
            known = self.base.activations
            if all(each in known for each in names):
                return [Way(self.base, known[each]) for each in names]
        if "reset_after" in self.base.options:
            other["reset_after"] = self.reset_after
        kinds = [variants.Variant(self.base.name, each, **other) for each in functions]
        return [Way(kind.cell, NO_OPTIONS) for kind in kinds]

    def _activation_names(self, given: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the names of the activations of each direction."""
        default, directions = next(iter(self.base.activations)), len(self.reverse)
        names = tuple(given.get("activations") or default * directions)
        if names == 2 * default:  # the default of RNN in ONNX, for any direction
            names = default * directions
        count = len(default)
        if len(names) != count * directions:
            wanted = f"{count * directions} names, got {len(names)}"
            raise ValueError(f"{self.owner}: activations must be {wanted}")
        return [names[start : start + count] for start in range(0, len(names), count)]

    def _functions(
        self, names: Sequence[tuple[str, ...]], given: Mapping[str, Any]
    ) -> list[tuple[variants.Activation, ...]]:
        """Return the activations of each direction."""
        alphas, betas = (given.get(f"activation_{key}", ()) for key in ("alpha", "beta"))
        flat = activations.functions(self.owner, [n for each in names for n in each], alphas, betas)
        count = len(names[0])
        return [tuple(flat[start : start + count]) for start in range(0, len(flat), count)]

    def size(self, ready: Weights, X: Any) -> int:
        """Return the bytes of the results; a batch or sequence of nothing counts as one."""
        sizes = [max(1, size) for size in np.shape(X)]
        T, N, _ = sizes if len(sizes) == 3 else (1, 1, 1)  # which `run` refuses
        N, T = (T, N) if self.layout else (N, T)
        steps = N * T + len(self.base.states) * N
        return int(steps * len(self.reverse) * ready.H * ready.cells[0][0].dtype.itemsize)

    def weights(
        self, W: Array, R: Array, B: Array | None = None, P: Array | None = None
    ) -> Weights:
        """Check the weights and return them in fastrnn's layout.

        W is (dirs, G*H, D), R (dirs, G*H, H), and B (dirs, 2*G*H) has both biases in a row.
        """
        owner, directions, G = self.owner, len(self.reverse), len(self.base.gates)
        dtype = check.float_dtype(owner, "W", W)
        R = check.array(owner, "R", R, (directions, f"{G}*H", "H"), dtype)
        H = R.shape[2] if self.hidden_size is None else self.hidden_size
        R = check.array(owner, "R", R, (directions, G * H, H), dtype)
        W = check.array(owner, "W", W, (directions, G * H, "D"), dtype)
        B = check.array_or_zeros(owner, "B", B, (directions, 2 * G * H), dtype)
        P = check.array_or_zeros(owner, "P", P, (directions, 3 * H), dtype)
        ready = []
        for (cell, _), w, r, b, p in zip(self.ways, W, R, B, P, strict=True):
            theirs = CellWeights(w.T, r.T, *np.split(b, 2))
            own = dict(zip(PEEPHOLES, np.split(p, 3), strict=True))
            ready.append(from_library(cell, theirs, "onnx", split=self.reset_after, own=own))
        return Weights(ready, H)

    def run(
        self,
        ready: Weights,
        X: Any,
        sequence_lens: Any = None,
        initial_h: Any = None,
        initial_c: Any = None,
    ) -> tuple[Array, ...]:
        """Return Y, Y_h and, for an LSTM, Y_c."""
        owner, directions = self.owner, len(self.reverse)
        Wx, H = ready.cells[0][0], ready.H
        dtype, D = Wx.dtype, len(Wx)
        shape = ("N", "T", D) if self.layout else ("T", "N", D)
        X = check.array(owner, "X", X, shape, dtype)
        x = X if self.layout else X.swapaxes(0, 1)
        N, T, _ = x.shape
        lengths = check.lengths(owner, sequence_lens, N, T, "sequence_lens")
        state = (N, directions, H) if self.layout else (directions, N, H)
        initial = [
            check.array_or_zeros(owner, f"initial_{name}", value, state, dtype)
            for name, value in zip(self.base.states, (initial_h, initial_c), strict=False)
        ]
        if self.layout:
            initial = [value.swapaxes(0, 1) for value in initial]
        y, last = self._run(ready, x, initial, lengths)
        y = y.reshape(N, T, directions, H)
        if self.layout:
            return y, *(value.swapaxes(0, 1) for value in last)
        return np.ascontiguousarray(y.transpose(1, 2, 0, 3)), *last

    def _run(
        self, ready: Weights, x: Array, initial: Sequence[Array], lengths: Array | None
    ) -> tuple[Array, list[Array]]:
        """Run the directions together, or one by one if they differ."""
        forward = partial(_recurrent.forward, x=x, lengths=lengths, train=False)
        if not self.differ:
            cell, options = self.ways[0]
            return forward(
                cell,
                states=initial,
                weights=ready.cells,
                options=options,
                reverse=self.reverse,
            )[:2]
        runs = [
            forward(
                cell,
                states=[state[d] for state in initial],
                weights=[ready.cells[d]],
                options=options,
                reverse=self.reverse[d : d + 1],
                stacked=False,
            )[:2]
            for d, (cell, options) in enumerate(self.ways)
        ]
        ys, finals = zip(*runs, strict=True)
        return np.concatenate(ys, axis=2), [np.stack(s) for s in zip(*finals, strict=True)]

    def layer(self, ready: Weights) -> RecurrentLayer:
        """Return the layer that computes the same, or raise ValueError if there is none."""
        reasons = []
        if self.reverse == (True,):
            reasons.append("direction reverse")
        if self.differ:
            reasons.append("activations that differ by direction")
        if reasons:
            raise ValueError(f"{self.owner}: no layer of fastrnn has {', '.join(reasons)}")
        cell, options = self.ways[0][0], dict(self.ways[0].options)
        if cell is self.base and "reset_after" in cell.options:
            options["reset_after"] = self.reset_after
        Wx, two = ready.cells[0][0], len(self.reverse) == 2
        options |= {"bidirectional": two, "dtype": Wx.dtype, "rng": 0}
        layer = variants.built(cell, len(Wx), ready.H, **options)
        fill(layer, [array for cell in ready.cells for array in cell])
        return layer


def fill(layer: Layer, arrays: Iterable[Array | None]) -> None:
    """Put arrays in the order of the parameters, None between them, into a new layer."""
    given = [array for array in arrays if array is not None]
    for param, array in zip(layer.params.values(), given, strict=True):
        param[...] = array
