"""ONNX's recurrent cells with any activation, clip, peepholes and coupled gates, in plain NumPy.

The equations are those of the operators RNN, GRU and LSTM (opset 22, "Equations"), with fastrnn's
order of gates and layout of weights: Wx (D, G*H), Wh (H, G*H), b (G*H,), and for a GRU bh (H,) or
None. f, g and h are the activations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._check import Array
from fastrnn._reference.sequence import steps
from fastrnn.convert._onnx.activations import Function


@dataclass(frozen=True)
class Options:
    """The options that compiled cells do not have."""

    activations: Sequence[Function]
    input_forget: bool
    peepholes: Array | None  # (3*H,), in ONNX's order i, o, f


def clipped(function: Function, clip: float) -> Function:
    """Return an activation with its input clipped, as the attribute `clip` has it."""
    return lambda x: function(np.clip(x, -clip, clip))


def run(
    op: str,
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Any],
    options: Options,
    *,
    lengths: Array | None,
    reverse: bool,
) -> tuple[Array, list[Array]]:
    """Run over time: x (N, T, D) and states (N, H) give all h (N, T, H) and the final states."""
    y = np.zeros((*x.shape[:2], states[0].shape[1]), x.dtype)
    states = [state.copy() for state in states]
    for t, rows in steps(x, lengths, reverse):
        new = CELLS[op](x[rows, t], *(state[rows] for state in states), *weights, options)
        for state, value in zip(states, new, strict=True):
            state[rows] = value
        y[rows, t] = new[0]
    return y, states


def _rnn(x: Array, h: Array, Wx: Array, Wh: Array, b: Array, options: Options) -> list[Array]:
    """Return ``Ht = f(Xt*(Wi^T) + Ht-1*(Ri^T) + Wbi + Rbi)``."""
    (f,) = options.activations
    return [f(x @ Wx + h @ Wh + b)]


def _gru(
    x: Array, h: Array, Wx: Array, Wh: Array, b: Array, bh: Array | None, options: Options
) -> list[Array]:
    """Return ``Ht = (1 - zt) (.) ht + zt (.) Ht-1``."""
    f, g = options.activations
    ax_r, ax_z, ax_n = np.split(x @ Wx + b, 3, axis=1)
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    r = f(ax_r + h @ Wh_r)
    z = f(ax_z + h @ Wh_z)
    # linear_before_reset is 0 without bh, else 1
    n = g(ax_n + ((r * h) @ Wh_n if bh is None else r * (h @ Wh_n + bh)))
    return [(1 - z) * n + z * h]


def _lstm(
    x: Array, h_prev: Array, c_prev: Array, Wx: Array, Wh: Array, b: Array, options: Options
) -> list[Array]:
    """Return ``Ct = ft (.) Ct-1 + it (.) ct`` and ``Ht = ot (.) h(Ct)``."""
    f, g, h = options.activations
    p_i, p_o, p_f = (0, 0, 0) if options.peepholes is None else np.split(options.peepholes, 3)
    a_i, a_f, a_g, a_o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    i = f(a_i + p_i * c_prev)
    forget = 1 - i if options.input_forget else f(a_f + p_f * c_prev)
    c = forget * c_prev + i * g(a_g)
    o = f(a_o + p_o * c)
    return [o * h(c), c]


CELLS: dict[str, Callable[..., list[Array]]] = {"RNN": _rnn, "GRU": _gru, "LSTM": _lstm}
