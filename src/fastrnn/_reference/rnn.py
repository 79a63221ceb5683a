"""The simple recurrent cell (Elman 1990), with tanh or relu (Le, Jaitly and Hinton 2015).

``h_t = act(x_t Wx + h_{t-1} Wh + b)``

With dropout, `drop_h` (N, H) times h_{t-1} meets Wh.

Shapes: x (N, D), h (N, H), Wx (D, H), Wh (H, H), b (H,).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .sequence import dropped
from .types import Array, Stash


def step(
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Any],
    drop_h: Array | None,
    *,
    nonlinearity: str = "tanh",
) -> tuple[tuple[Array], Stash]:
    """Return the next state ``(h,)``, and what `step_backward` needs."""
    (h_prev,), (Wx, Wh, b) = states, weights
    h_dropped = dropped(h_prev, drop_h)
    a = x @ Wx + h_dropped @ Wh + b
    h: Array = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)
    return (h,), (x, h_dropped, drop_h, Wx, Wh, h, nonlinearity)


def step_backward(
    dstates: Sequence[Array], saved: Stash
) -> tuple[Array, tuple[Array], tuple[Array, ...]]:
    """Return ``dx, (dh_prev,), (dWx, dWh, db)`` of one step."""
    (dh,), (x, h_dropped, drop_h, Wx, Wh, h, nonlinearity) = dstates, saved
    da = dh * (1 - h * h) if nonlinearity == "tanh" else np.where(h <= 0, 0, dh)  # h = act(a)
    dWx = x.T @ da  # a = x @ Wx + h_dropped @ Wh + b
    dWh = h_dropped.T @ da  # a = x @ Wx + h_dropped @ Wh + b
    db = da.sum(axis=0)  # a = x @ Wx + h_dropped @ Wh + b
    dx = da @ Wx.T  # a = x @ Wx + h_dropped @ Wh + b
    dh_dropped = da @ Wh.T  # a = x @ Wx + h_dropped @ Wh + b
    dh_prev = dropped(dh_dropped, drop_h)  # h_dropped = dropped(h_prev)
    return dx, (dh_prev,), (dWx, dWh, db)
