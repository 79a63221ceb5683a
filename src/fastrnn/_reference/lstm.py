"""The LSTM (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000).

As in Zaremba et al. 2014, section 3; the gates i, f, g, o lie side by side in this order:

``i = sigmoid(x Wx_i + h Wh_i + b_i)``, and so f and o
``g = tanh(x Wx_g + h Wh_g + b_g)``
``c' = f * c + i * g``
``h' = o * tanh(c')``

With dropout, `drop_h` (N, H) times h meets Wh.

Shapes: x (N, D), h and c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activations import sigmoid
from .sequence import dropped
from .types import Array, Stash


def step(
    x: Array, states: Sequence[Array], weights: Sequence[Any], drop_h: Array | None
) -> tuple[tuple[Array, Array], Stash]:
    """Return the next states ``(h, c)``, and what `step_backward` needs."""
    (h_prev, c_prev), (Wx, Wh, b) = states, weights
    h_dropped = dropped(h_prev, drop_h)
    a = x @ Wx + h_dropped @ Wh + b
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return (h, c), (x, h_dropped, drop_h, c_prev, Wx, Wh, i, f, g, o, tanh_c)


def step_backward(
    dstates: Sequence[Array], saved: Stash
) -> tuple[Array, tuple[Array, Array], tuple[Array, ...]]:
    """Return ``dx, (dh_prev, dc_prev), (dWx, dWh, db)`` of one step."""
    (dh, dc), (x, h_dropped, drop_h, c_prev, Wx, Wh, i, f, g, o, tanh_c) = dstates, saved
    dc = dc + dh * o * (1 - tanh_c * tanh_c)  # h = o * tanh(c)
    do = dh * tanh_c  # h = o * tanh(c)
    df = dc * c_prev  # c = f * c_prev + i * g
    di = dc * g  # c = f * c_prev + i * g
    dg = dc * i  # c = f * c_prev + i * g
    dc_prev = dc * f  # c = f * c_prev + i * g
    da_i = di * i * (1 - i)  # i = sigmoid(a_i)
    da_f = df * f * (1 - f)  # f = sigmoid(a_f)
    da_g = dg * (1 - g * g)  # g = tanh(a_g)
    da_o = do * o * (1 - o)  # o = sigmoid(a_o)
    da = np.concatenate((da_i, da_f, da_g, da_o), axis=1)
    dWx = x.T @ da  # a = x @ Wx + h_dropped @ Wh + b
    dWh = h_dropped.T @ da  # a = x @ Wx + h_dropped @ Wh + b
    db = da.sum(axis=0)  # a = x @ Wx + h_dropped @ Wh + b
    dx = da @ Wx.T  # a = x @ Wx + h_dropped @ Wh + b
    dh_dropped = da @ Wh.T  # a = x @ Wx + h_dropped @ Wh + b
    dh_prev = dropped(dh_dropped, drop_h)  # h_dropped = dropped(h_prev)
    return dx, (dh_prev, dc_prev), (dWx, dWh, db)
