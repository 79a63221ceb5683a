"""The operators RNN, GRU and LSTM of ONNX: attributes, checks and computation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.convert._onnx import activations, cells
from fastrnn.convert._onnx.graph import Node
from fastrnn.convert.cells import CellWeights, from_library
from fastrnn.layers import RECURRENT, Layer
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.ops import _recurrent

OPERATORS = {cell.title: cell for cell in CELLS.values() if cell.activations}
"""The cells by the names of ONNX's operators."""

# Inputs of LSTM; the others have the first ones.
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
WEIGHTS = ("W", "R", "B", "P")
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class Weights:
    """The weights of all directions in fastrnn's layout, and the peepholes (dirs, 3*H)."""

    cells: list[list[Any]]
    peepholes: Array | None


class Operator:
    """A recurrent operator with its attributes, checked.

    Attributes
    ----------
    rare : list of str
        Options that only NumPy runs; may be empty.
    """

    def __init__(self, owner: str, node: Node) -> None:
        self.owner, self.op, self.cell = owner, node.op, OPERATORS[node.op]
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
        clip = given.get("clip")
        if clip is not None and not clip > 0:
            raise ValueError(f"{owner}: clip must be above 0, got {clip}")
        self.input_forget = bool(given.get("input_forget", 0))
        self.reset_after = bool(given.get("linear_before_reset", 0))
        self.names = self._activation_names(given)
        self.differ = len({*self.names}) > 1  # the directions
        self.functions = self._functions(given)
        unusual = [names for names in self.names if names not in self.cell.activations]
        reasons = {
            "clip": clip is not None,
            "input_forget": self.input_forget,
            "peepholes": bool(self.inputs.get("P")),
            **{f"activations {', '.join(names)}": True for names in unusual},
        }
        self.rare = [reason for reason, holds in reasons.items() if holds]

    def _activation_names(self, given: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the names of the activations of each direction."""
        default, directions = next(iter(self.cell.activations)), len(self.reverse)
        names = tuple(given.get("activations") or default * directions)
        if names == 2 * default:  # the default of RNN in ONNX, for any direction
            names = default * directions
        count = len(default)
        if len(names) != count * directions:
            wanted = f"{count * directions} names, got {len(names)}"
            raise ValueError(f"{self.owner}: activations must be {wanted}")
        return [names[start : start + count] for start in range(0, len(names), count)]

    def _functions(self, given: Mapping[str, Any]) -> list[list[activations.Function]]:
        """Return the activations of each direction."""
        names = [name for names in self.names for name in names]
        alphas, betas = (given.get(f"activation_{key}", ()) for key in ("alpha", "beta"))
        flat = activations.functions(self.owner, names, alphas, betas)
        if "clip" in given:
            flat = [cells.clipped(function, given["clip"]) for function in flat]
        count = len(self.names[0])
        return [flat[start : start + count] for start in range(0, len(flat), count)]

    def size(self, ready: Weights, X: Any) -> int:
        """Return the bytes of the results; a batch or sequence of nothing counts as one."""
        Wx, Wh, *_ = ready.cells[0]
        sizes = [max(1, size) for size in np.shape(X)]
        T, N, _ = sizes if len(sizes) == 3 else (1, 1, 1)  # which `run` refuses
        N, T = (T, N) if self.layout else (N, T)
        steps = N * T + len(self.cell.states) * N
        return int(steps * len(self.reverse) * len(Wh) * Wx.dtype.itemsize)

    def weights(
        self, W: Array, R: Array, B: Array | None = None, P: Array | None = None
    ) -> Weights:
        """Check the weights and return them in fastrnn's layout.

        W is (dirs, G*H, D), R (dirs, G*H, H), and B (dirs, 2*G*H) has both biases in a row.
        """
        owner, directions, G = self.owner, len(self.reverse), len(self.cell.gates)
        dtype = check.float_dtype(owner, "W", W)
        R = check.array(owner, "R", R, (directions, f"{G}*H", "H"), dtype)
        H = R.shape[2] if self.hidden_size is None else self.hidden_size
        R = check.array(owner, "R", R, (directions, G * H, H), dtype)
        W = check.array(owner, "W", W, (directions, G * H, "D"), dtype)
        B = check.array_or_zeros(owner, "B", B, (directions, 2 * G * H), dtype)
        if P is not None:
            P = check.array(owner, "P", P, (directions, 3 * H), dtype)
        theirs = [CellWeights(w.T, r.T, *np.split(b, 2)) for w, r, b in zip(W, R, B, strict=True)]
        split = self.reset_after
        return Weights(
            [from_library(self.cell, weights, "onnx", split=split) for weights in theirs], P
        )

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
        Wx, Wh, *_ = ready.cells[0]
        dtype, D, H = Wx.dtype, len(Wx), len(Wh)
        shape = ("N", "T", D) if self.layout else ("T", "N", D)
        X = check.array(owner, "X", X, shape, dtype)
        x = X if self.layout else X.swapaxes(0, 1)
        N, T, _ = x.shape
        lengths = check.lengths(owner, sequence_lens, N, T, "sequence_lens")
        state = (N, directions, H) if self.layout else (directions, N, H)
        initial = [
            check.array_or_zeros(owner, f"initial_{name}", value, state, dtype)
            for name, value in zip(self.cell.states, (initial_h, initial_c), strict=False)
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
        """Run on our cells, or direction by direction if these or their options do not fit."""
        forward = partial(_recurrent.forward, self.cell, x, lengths=lengths, train=False)
        if not (self.rare or self.differ):
            options = self.cell.activations[self.names[0]]
            return forward(initial, ready.cells, options=options, reverse=self.reverse)[:2]
        runs = []
        for d, reverse in enumerate(self.reverse):
            states, weights = [state[d] for state in initial], ready.cells[d]
            if self.rare:
                P = None if ready.peepholes is None else ready.peepholes[d]
                rare = cells.Options(self.functions[d], self.input_forget, P)
                run = cells.run(self.op, x, states, weights, rare, lengths=lengths, reverse=reverse)
            else:
                options, way = self.cell.activations[self.names[d]], (reverse,)
                run = forward(states, [weights], options=options, reverse=way, stacked=False)[:2]
            runs.append(run)
        ys, finals = zip(*runs, strict=True)
        return np.concatenate(ys, axis=2), [np.stack(s) for s in zip(*finals, strict=True)]

    def layer(self, ready: Weights) -> RecurrentLayer:
        """Return the layer that computes the same, or raise ValueError if there is none."""
        reasons = list(self.rare)
        if self.reverse == (True,):
            reasons.append("direction reverse")
        if not self.rare and self.differ:
            reasons.append("activations that differ by direction")
        if reasons:
            raise ValueError(f"{self.owner}: no layer of fastrnn has {', '.join(reasons)}")
        Wx, Wh, *_ = ready.cells[0]
        options = dict(self.cell.activations[self.names[0]])
        if "reset_after" in self.cell.options:
            options["reset_after"] = self.reset_after
        layer: RecurrentLayer = RECURRENT[self.cell.name](
            len(Wx), len(Wh), bidirectional=len(self.reverse) == 2, dtype=Wx.dtype, rng=0, **options
        )
        fill(layer, [array for cell in ready.cells for array in cell])
        return layer


def fill(layer: Layer, arrays: Iterable[Array | None]) -> None:
    """Put arrays in the order of the parameters, None between them, into a new layer."""
    given = [array for array in arrays if array is not None]
    for param, array in zip(layer.params.values(), given, strict=True):
        param[...] = array
