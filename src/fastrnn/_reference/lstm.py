"""The LSTM (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000).

As in Zaremba et al. 2014, section 3; the gates i, f, g, o lie side by side in this order:

``i = sigmoid(x Wx_i + h Wh_i + b_i)``, and so f and o
``g = tanh(x Wx_g + h Wh_g + b_g)``
``c' = f * c + i * g``
``h' = o * tanh(c')``

With dropout, `drop_h` (N, H) times h meets Wh.

Shapes: x (N, T, D), h and c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,), y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .activations import sigmoid
from .sequence import add_to, dropped, outputs, rows_of, steps
from .textbook import lstm_from_textbook, lstm_to_textbook
from .types import Array, Stash


def lstm_forward(
    x: Array,
    h0: Array,
    c0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    *,
    lengths: Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: Array | None = None,
    textbook: bool = False,
    drop_h: Array | None = None,
) -> tuple[Array, Array, Array, Stash | None]:
    """Return all h as y, the final states h and c, and what `lstm_backward` needs."""
    if textbook:
        Wx, Wh, b = map(lstm_from_textbook, (Wx, Wh, b))
    y, h, c = outputs(out, x, h0), h0.copy(), c0.copy()
    saved = []
    for t, rows in steps(x, lengths, reverse):
        drop = rows_of(drop_h, rows)
        h_t, c_t, internals = lstm_cell(x[rows, t], h[rows], c[rows], Wx, Wh, b, drop)
        if train:
            saved.append((t, rows, internals))
        y[rows, t] = h[rows] = h_t
        c[rows] = c_t
    return y, h, c, (Wx, Wh, b, textbook, saved) if train else None


def lstm_backward(
    dy: Array, dh: Array, dc: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Return ``(dx, dh0, dc0, dWx, dWh, db)``: backpropagation through time."""
    Wx, Wh, b, textbook, saved = stash
    N, T, _ = dy.shape
    dx, dh, dc = np.zeros((N, T, len(Wx)), dy.dtype), dh.copy(), dc.copy()
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t, rows, internals in reversed(saved):
        dx[rows, t], dh[rows], dc[rows], *dweights = lstm_cell_backward(
            dh[rows] + dy[rows, t], dc[rows], internals
        )
        add_to((dWx, dWh, db), dweights)
    if textbook:
        dWx, dWh, db = map(lstm_to_textbook, (dWx, dWh, db))
    return dx, dh, dc, dWx, dWh, db


def lstm_step(
    x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array, *, textbook: bool = False
) -> tuple[Array, Array]:
    """Return the states h and c after one more input, x (N, D)."""
    if textbook:
        Wx, Wh, b = map(lstm_from_textbook, (Wx, Wh, b))
    h, c, _ = lstm_cell(x, h, c, Wx, Wh, b)
    return h, c


def lstm_cell(
    x: Array,
    h_prev: Array,
    c_prev: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    drop_h: Array | None = None,
) -> tuple[Array, Array, Stash]:
    """Return the next h and c, and what `lstm_cell_backward` needs."""
    met = dropped(h_prev, drop_h)
    a = x @ Wx + met @ Wh + b
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c = f * c_prev + i * g
    tanh_c = np.tanh(c)
    h = o * tanh_c
    return h, c, (x, met, drop_h, c_prev, Wx, Wh, i, f, g, o, tanh_c)


def lstm_cell_backward(
    dh: Array, dc: Array, stash: Stash
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Return ``(dx, dh_prev, dc_prev, dWx, dWh, db)`` of one step."""
    x, met, drop_h, c_prev, Wx, Wh, i, f, g, o, tanh_c = stash
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
    dWx = x.T @ da  # a = x @ Wx + met @ Wh + b
    dWh = met.T @ da  # a = x @ Wx + met @ Wh + b
    db = da.sum(axis=0)  # a = x @ Wx + met @ Wh + b
    dx = da @ Wx.T  # a = x @ Wx + met @ Wh + b
    dmet = da @ Wh.T  # a = x @ Wx + met @ Wh + b
    dh_prev = dropped(dmet, drop_h)  # met = dropped(h_prev)
    return dx, dh_prev, dc_prev, dWx, dWh, db
