"""The operators RNN, GRU and LSTM of ONNX: attributes, checks and computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.convert._onnx import activations, cells, weights
from fastrnn.convert._onnx.graph import Node
from fastrnn.convert._onnx.weights import OPERATORS
from fastrnn.layers import RECURRENT
from fastrnn.layers.recurrent import Recurrent
from fastrnn.ops import _recurrent

# Inputs of LSTM; the others have the first ones.
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
WEIGHTS = ("W", "R", "B", "P")
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True)
class Weights:
    """The weights of all directions in fastrnn's layout, and the peepholes (dirs, 3*H)."""

    cells: list[list[Array | None]]
    peepholes: Array | None


class Operator:
    """A recurrent operator with its attributes, checked.

    Parameters
    ----------
    owner : str
        Start of messages.
    node : Node
        The operator.

    Attributes
    ----------
    rare : list of str
        Options that only NumPy runs; may be empty.

    Raises
    ------
    ValueError
        If an attribute is wrong.
    """

    def __init__(self, owner: str, node: Node) -> None:
        self.owner, self.op, self.cell = owner, node.op, OPERATORS[node.op]
        self.activations = next(iter(self.cell.activations))  # the default
        self.inputs = dict(zip(INPUTS, node.inputs, strict=False))
        given = node.attributes
        direction = check.option(owner, "direction", given.get("direction", "forward"), DIRECTIONS)
        self.reverse = DIRECTIONS[direction]
        self.layout = given.get("layout", 0)
        if self.layout not in (0, 1):
            raise ValueError(f"{owner}: layout must be 0 or 1, got {self.layout}")
        self.hidden_size = given.get("hidden_size")
        self.clip = given.get("clip")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"{owner}: clip must be above 0, got {self.clip}")
        self.input_forget = bool(given.get("input_forget", 0))
        self.reset_after = bool(given.get("linear_before_reset", 0))
        self.names = self._activation_names(given)
        self.functions = self._functions(given)
        self.rare = self._rare()

    def _activation_names(self, given: Mapping[str, Any]) -> list[tuple[str, ...]]:
        """Return the names of the activations of each direction."""
        default, directions = self.activations, len(self.reverse)
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
        flat = activations.functions(
            self.owner,
            [name for names in self.names for name in names],
            given.get("activation_alpha", ()),
            given.get("activation_beta", ()),
        )
        count = len(self.activations)
        return [flat[start : start + count] for start in range(0, len(flat), count)]

    def _rare(self) -> list[str]:
        unusual = [names for names in self.names if names not in self.cell.activations]
        reasons = {
            "clip": self.clip is not None,
            "input_forget": self.input_forget,
            "peepholes": bool(self.inputs.get("P")),
            **{f"activations {', '.join(names)}": True for names in unusual},
        }
        return [reason for reason, holds in reasons.items() if holds]

    def weights(
        self, W: Array, R: Array, B: Array | None = None, P: Array | None = None
    ) -> Weights:
        """Check the weights and return them in fastrnn's layout.

        Raises
        ------
        ValueError
            If a shape is wrong.
        TypeError
            If a dtype is wrong.
        """
        owner, directions, G = self.owner, len(self.reverse), len(self.cell.gates)
        dtype = check.float_dtype(owner, "W", W)
        R = check.array(owner, "R", R, (directions, f"{G}*H", "H"), dtype)
        H = R.shape[2] if self.hidden_size is None else self.hidden_size
        R = check.array(owner, "R", R, (directions, G * H, H), dtype)
        W = check.array(owner, "W", W, (directions, G * H, "D"), dtype)
        if B is not None:
            B = check.array(owner, "B", B, (directions, 2 * G * H), dtype)
        if P is not None:
            P = check.array(owner, "P", P, (directions, 3 * H), dtype)
        per_direction = [
            weights.from_onnx(
                self.cell, W[d], R[d], None if B is None else B[d], reset_after=self.reset_after
            )
            for d in range(directions)
        ]
        return Weights(per_direction, P)

    def run(
        self,
        ready: Weights,
        X: Any,
        sequence_lens: Any = None,
        initial_h: Any = None,
        initial_c: Any = None,
    ) -> tuple[Array, ...]:
        """Return Y, Y_h and, for an LSTM, Y_c.

        Raises
        ------
        ValueError
            If a shape or a length is wrong.
        TypeError
            If a dtype is wrong.
        """
        owner, directions = self.owner, len(self.reverse)
        Wx, Wh, *_ = ready.cells[0]
        assert Wx is not None and Wh is not None
        dtype, D, H = Wx.dtype, len(Wx), len(Wh)
        shape = ("N", "T", D) if self.layout else ("T", "N", D)
        x = self._batch_first(check.array(owner, "X", X, shape, dtype))
        N, T, _ = x.shape
        lengths = sequence_lens
        if lengths is not None:
            lengths = check.integers(owner, "sequence_lens", lengths, (N,), T + 1)
        initial = [
            self._initial(f"initial_{name}", value, N, H, dtype)
            for name, value in zip(self.cell.states, (initial_h, initial_c), strict=False)
        ]
        run = self._run_rare if self.rare else self._run_compiled
        y, last = run(ready, x, initial, lengths)
        y = y.reshape(N, T, directions, H)
        if self.layout:
            return y, *(state.swapaxes(0, 1) for state in last)
        return np.ascontiguousarray(y.transpose(1, 2, 0, 3)), *last

    def _run_compiled(
        self, ready: Weights, x: Array, initial: Sequence[Array], lengths: Array | None
    ) -> tuple[Array, list[Array]]:
        """Run on our cells; directions whose activations differ run one by one."""
        options = [self.cell.activations[names] for names in self.names]
        if options == options[:1] * len(options):
            y, last, _ = _recurrent.forward(
                self.cell,
                x,
                initial,
                ready.cells,
                train=False,
                options=options[0],
                reverse=self.reverse,
                lengths=lengths,
            )
            return y, last
        runs = [
            _recurrent.forward_one(
                self.cell,
                x,
                [state[d] for state in initial],
                ready.cells[d],
                train=False,
                options=options[d],
                reverse=reverse,
                lengths=lengths,
            )
            for d, reverse in enumerate(self.reverse)
        ]
        return _joined([(y, last) for y, last, _ in runs])

    def _run_rare(
        self, ready: Weights, x: Array, initial: Sequence[Array], lengths: Array | None
    ) -> tuple[Array, list[Array]]:
        """Run in NumPy what our cells do not have."""
        runs = []
        for d, reverse in enumerate(self.reverse):
            P = None if ready.peepholes is None else ready.peepholes[d]
            options = cells.Options(self.functions[d], self.clip, self.input_forget, P)
            states = [state[d] for state in initial]
            runs.append(
                cells.run(
                    self.op, x, states, ready.cells[d], options, lengths=lengths, reverse=reverse
                )
            )
        return _joined(runs)

    def _batch_first(self, X: Array) -> Array:
        """Return X as (N, T, D)."""
        return X if self.layout else X.swapaxes(0, 1)

    def _initial(self, name: str, value: Any, N: int, H: int, dtype: check.DType) -> Array:
        """Return an initial state (dirs, N, H), checked."""
        directions = len(self.reverse)
        shape = (N, directions, H) if self.layout else (directions, N, H)
        state = check.array_or_zeros(self.owner, name, value, shape, dtype)
        return state.swapaxes(0, 1) if self.layout else state

    def layer(self, ready: Weights) -> Recurrent:
        """Return the layer that computes the same.

        Raises
        ------
        ValueError
            If there is none.
        """
        options = [self.cell.activations.get(names) for names in self.names]
        reasons = list(self.rare)
        if self.reverse == (True,):
            reasons.append("direction reverse")
        if not self.rare and options != options[:1] * len(options):
            reasons.append("activations that differ by direction")
        if reasons:
            raise ValueError(f"{self.owner}: no layer of fastrnn has {', '.join(reasons)}")
        Wx, Wh, *_ = ready.cells[0]
        assert Wx is not None and Wh is not None and options[0] is not None
        more: dict[str, Any] = dict(options[0])
        if "reset_after" in self.cell.options:
            more["reset_after"] = self.reset_after
        layer: Recurrent = RECURRENT[self.cell.name](
            len(Wx), len(Wh), bidirectional=len(self.reverse) == 2, dtype=Wx.dtype, rng=0, **more
        )
        set_cells(layer, ready.cells)
        return layer


def _joined(runs: Sequence[tuple[Array, Sequence[Array]]]) -> tuple[Array, list[Array]]:
    """Return the outputs of all directions side by side, and the states one after another."""
    ys, finals = zip(*runs, strict=True)
    return np.concatenate(ys, axis=2), [np.stack(states) for states in zip(*finals, strict=True)]


def set_cells(layer: Recurrent, values: Sequence[Sequence[Array | None]]) -> None:
    """Put the weights of all layers and directions into a layer."""
    for params, arrays in zip(layer.weights(), values, strict=True):
        for param, array in zip(params, arrays, strict=True):
            if param is not None:
                param[...] = array
