"""The LSTM (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000).

As in Zaremba et al. 2014, section 3; the gates i, f, g, o lie side by side in this order:

``i = sigmoid(x Wx_i + h Wh_i + b_i)``, and so f and o
``g = tanh(x Wx_g + h Wh_g + b_g)``
``c' = f * c + i * g``
``h' = o * tanh(c')``

Shapes: x (N, T, D), h and c (N, H), Wx (D, 4H), Wh (H, 4H), b (4H,), y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .activations import sigmoid
from .sequence import outputs, pack, project, project_backward, steps
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
) -> tuple[Array, Array, Array, Stash | None]:
    """Return all h as y, the final states h and c, and what `lstm_backward` needs."""
    N, T, _ = x.shape
    y, h, c = outputs(out, x, h0), h0.copy(), c0.copy()
    ax = project(x, Wx, b, lengths)
    saved = np.empty((7, N, T, h.shape[1]), x.dtype) if train else None
    for t, rows in steps(T, lengths, reverse):
        h_prev, c_prev = h[rows], c[rows]
        h_next, c_next, internals = _cell(ax[rows, t], h_prev, c_prev, Wh)
        if saved is not None:
            saved[:, rows, t] = *internals, c_prev, h_prev
        h[rows] = y[rows, t] = h_next
        c[rows] = c_next
    return y, h, c, (x, Wx, Wh, lengths, reverse, saved) if train else None


def lstm_backward(
    dy: Array, dh: Array, dc: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Return ``(dx, dh0, dc0, dWx, dWh, db)``: backpropagation through time."""
    x, Wx, Wh, lengths, reverse, saved = stash
    N, T, _ = x.shape
    da, dh, dc = np.empty((N, T, Wh.shape[1]), x.dtype), dh.copy(), dc.copy()
    for t, rows in steps(T, lengths, not reverse):
        i, f, g, o, tanh_c, c_prev, _ = saved[:, rows, t]
        dh_t = dh[rows] + dy[rows, t]
        dc_t = dc[rows] + dh_t * o * (1 - tanh_c * tanh_c)  # h = o * tanh(c)
        do = dh_t * tanh_c  # h = o * tanh(c)
        df = dc_t * c_prev  # c = f * c_prev + i * g
        di = dc_t * g  # c = f * c_prev + i * g
        dg = dc_t * i  # c = f * c_prev + i * g
        da_i = di * i * (1 - i)  # i = sigmoid(a_i)
        da_f = df * f * (1 - f)  # f = sigmoid(a_f)
        da_g = dg * (1 - g * g)  # g = tanh(a_g)
        da_o = do * o * (1 - o)  # o = sigmoid(a_o)
        da_t = np.concatenate((da_i, da_f, da_g, da_o), axis=1)
        dh[rows] = da_t @ Wh.T  # a = ax + h_prev @ Wh
        dc[rows] = dc_t * f  # c = f * c_prev + i * g
        da[rows, t] = da_t

    dx, dWx, db = project_backward(da, x, Wx, lengths)
    dWh = pack(saved[-1], lengths).T @ pack(da, lengths)  # a = ax + h_prev @ Wh
    return dx, dh, dc, dWx, dWh, db


def lstm_step(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Array]:
    """Return the states h and c after one more input, x (N, D)."""
    h, c, _ = _cell(x @ Wx + b, h, c, Wh)
    return h, c


def _cell(ax: Array, h: Array, c: Array, Wh: Array) -> tuple[Array, Array, tuple[Array, ...]]:
    a_i, a_f, a_g, a_o = np.split(ax + h @ Wh, 4, axis=1)
    i = sigmoid(a_i)
    f = sigmoid(a_f)
    g = np.tanh(a_g)
    o = sigmoid(a_o)
    c_next = f * c + i * g
    tanh_c = np.tanh(c_next)
    return o * tanh_c, c_next, (i, f, g, o, tanh_c)
