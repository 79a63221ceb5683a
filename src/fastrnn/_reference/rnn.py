"""The simple recurrent cell (Elman 1990), with tanh or relu (Le, Jaitly and Hinton 2015).

``h_t = act(x_t Wx + h_{t-1} Wh + b)``

With dropout, `drop_h` (N, H) times h_{t-1} meets Wh.

Shapes: x (N, T, D), h (N, H), Wx (D, H), Wh (H, H), b (H,), y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .sequence import add_to, dropped, outputs, rows_of, steps
from .types import Array, Stash


def rnn_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    nonlinearity: str,
    lengths: Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: Array | None = None,
    drop_h: Array | None = None,
) -> tuple[Array, Array, Stash | None]:
    """Return all states y, the final state h, and what `rnn_backward` needs."""
    y, h = outputs(out, x, h0), h0.copy()
    saved = []
    for t, rows in steps(x, lengths, reverse):
        drop = rows_of(drop_h, rows)
        h_t, internals = rnn_cell(x[rows, t], h[rows], Wx, Wh, b, drop, nonlinearity=nonlinearity)
        if train:
            saved.append((t, rows, internals))
        y[rows, t] = h[rows] = h_t
    return y, h, (Wx, Wh, b, saved) if train else None


def rnn_backward(
    dy: Array, dh: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array]:
    """Return ``(dx, dh0, dWx, dWh, db)``: backpropagation through time (Werbos 1990)."""
    Wx, Wh, b, saved = stash
    N, T, _ = dy.shape
    dx, dh = np.zeros((N, T, len(Wx)), dy.dtype), dh.copy()
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t, rows, internals in reversed(saved):
        dx[rows, t], dh[rows], *dweights = rnn_cell_backward(dh[rows] + dy[rows, t], internals)
        add_to((dWx, dWh, db), dweights)
    return dx, dh, dWx, dWh, db


def rnn_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array, *, nonlinearity: str) -> Array:
    """Return the state after one more input, x (N, D)."""
    return rnn_cell(x, h, Wx, Wh, b, nonlinearity=nonlinearity)[0]


def rnn_cell(
    x: Array,
    h_prev: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    drop_h: Array | None = None,
    *,
    nonlinearity: str = "tanh",
) -> tuple[Array, Stash]:
    """Return the next h, and what `rnn_cell_backward` needs."""
    met = dropped(h_prev, drop_h)
    a = x @ Wx + met @ Wh + b
    h: Array = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)
    return h, (x, met, drop_h, Wx, Wh, h, nonlinearity)


def rnn_cell_backward(dh: Array, stash: Stash) -> tuple[Array, Array, Array, Array, Array]:
    """Return ``(dx, dh_prev, dWx, dWh, db)`` of one step."""
    x, met, drop_h, Wx, Wh, h, nonlinearity = stash
    da = dh * (1 - h * h) if nonlinearity == "tanh" else np.where(h <= 0, 0, dh)  # h = act(a)
    dWx = x.T @ da  # a = x @ Wx + met @ Wh + b
    dWh = met.T @ da  # a = x @ Wx + met @ Wh + b
    db = da.sum(axis=0)  # a = x @ Wx + met @ Wh + b
    dx = da @ Wx.T  # a = x @ Wx + met @ Wh + b
    dmet = da @ Wh.T  # a = x @ Wx + met @ Wh + b
    dh_prev = dropped(dmet, drop_h)  # met = dropped(h_prev)
    return dx, dh_prev, dWx, dWh, db
