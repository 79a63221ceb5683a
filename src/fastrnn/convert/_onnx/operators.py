"""The operators RNN, GRU and LSTM of ONNX: attributes, checks and computation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.convert._onnx import activations, cells, weights
from fastrnn.convert._onnx.graph import Node
from fastrnn.convert._onnx.weights import KINDS, Layer
from fastrnn.layers import GRU
from fastrnn.ops import _check as check
from fastrnn.ops._check import Array

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
        self.owner, self.op, self.kind = owner, node.op, KINDS[node.op]
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
        default, directions = self.kind.activations, len(self.reverse)
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
        count = len(self.kind.activations)
        return [flat[start : start + count] for start in range(0, len(flat), count)]

    def _rare(self) -> list[str]:
        unusual = [names for names in self.names if names not in self.kind.compiled]
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
        owner, directions, G = self.owner, len(self.reverse), self.kind.cell.gates
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
                self.kind, W[d], R[d], None if B is None else B[d], reset_after=self.reset_after
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
            for name, value in zip(self.kind.cell.states, (initial_h, initial_c), strict=False)
        ]
        Y = np.empty((N, T, directions, H) if self.layout else (T, directions, N, H), dtype)
        last = []
        for d in range(directions):
            y = Y[:, :, d] if self.layout else Y[:, d].swapaxes(0, 1)
            last.append(self._direction(d, ready, x, [state[d] for state in initial], lengths, y))
        axis = 1 if self.layout else 0
        return Y, *(np.stack(parts, axis) for parts in zip(*last, strict=True))

    def _direction(
        self,
        d: int,
        ready: Weights,
        x: Array,
        states: Sequence[Array],
        lengths: Array | None,
        y: Array,
    ) -> Sequence[Array]:
        """Run one direction; fill y and return the final states."""
        if not self.rare:
            _, last, _ = self.kind.cell.forward(
                x,
                states,
                ready.cells[d],
                self.kind.compiled[self.names[d]],
                train=False,
                lengths=lengths,
                reverse=self.reverse[d],
                out=y,
            )
            return last
        P = None if ready.peepholes is None else ready.peepholes[d]
        options = cells.Options(self.functions[d], self.clip, self.input_forget, P)
        return cells.run(
            self.op,
            x,
            states,
            ready.cells[d],
            options,
            lengths=lengths,
            reverse=self.reverse[d],
            out=y,
        )

    def _batch_first(self, X: Array) -> Array:
        """Return X as (N, T, D)."""
        return X if self.layout else X.swapaxes(0, 1)

    def _initial(self, name: str, value: Any, N: int, H: int, dtype: check.DType) -> Array:
        """Return an initial state (dirs, N, H), checked."""
        directions = len(self.reverse)
        shape = (N, directions, H) if self.layout else (directions, N, H)
        state = check.array_or_zeros(self.owner, name, value, shape, dtype)
        return state.swapaxes(0, 1) if self.layout else state

    def layer(self, ready: Weights) -> Layer:
        """Return the fastrnn layer that computes the same.

        Raises
        ------
        ValueError
            If there is none.
        """
        options = [self.kind.compiled.get(names) for names in self.names]
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
        if self.kind.layer is GRU:
            more["reset_after"] = self.reset_after
        layer: Layer = self.kind.layer(
            len(Wx), len(Wh), bidirectional=len(self.reverse) == 2, dtype=Wx.dtype, rng=0, **more
        )
        set_cells(layer, ready.cells)
        return layer


def set_cells(layer: Layer, values: Sequence[Sequence[Array | None]]) -> None:
    """Copy the weights of all layers and directions into a layer."""
    for keys, arrays in zip(layer._keys, values, strict=True):
        for key, array in zip(keys, arrays, strict=False):  # a bh of None has no key
            layer.params[key][...] = array
