"""The GRU (Cho et al. 2014, arXiv:1406.1078); the gates r, z, n lie side by side in this order.

``r = sigmoid(x Wx_r + h Wh_r + b_r)``                    (equation 5)
``z = sigmoid(x Wx_z + h Wh_z + b_z)``                    (equation 6)
``h' = (1 - z) * n + z * h``                              (equation 7)
``n = tanh(x Wx_n + b_n + (r * h) Wh_n)``                 reset before (equation 8)
``n = tanh(x Wx_n + b_n + r * (h Wh_n + bh))``            reset after (its first version; cuDNN)

Whether `bh` is given decides between the two. With dropout, `drop_h` (N, H) times h takes the place
of h in r, z and n, before any product; ``z * h`` has h itself.

Shapes: x (N, T, D), h (N, H), Wx (D, 3H), Wh (H, 3H), b (3H,), bh (H,) or None, y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .activations import sigmoid
from .sequence import add_to, dropped, outputs, rows_of, steps
from .textbook import gru_from_textbook, gru_to_textbook
from .types import Array, Stash


def gru_forward(
    x: Array,
    h0: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    bh: Array | None,
    *,
    lengths: Array | None,
    reverse: bool,
    train: bool,
    num_threads: int | None = None,
    out: Array | None = None,
    textbook: bool = False,
    drop_h: Array | None = None,
) -> tuple[Array, Array, Stash | None]:
    """Return all states y, the final state h, and what `gru_backward` needs."""
    if textbook:
        Wx, Wh, b = map(gru_from_textbook, (Wx, Wh, b))
    y, h = outputs(out, x, h0), h0.copy()
    saved = []
    for t, rows in steps(x, lengths, reverse):
        drop = rows_of(drop_h, rows)
        h_t, internals = gru_cell(x[rows, t], h[rows], Wx, Wh, b, bh, drop)
        if train:
            saved.append((t, rows, internals))
        y[rows, t] = h[rows] = h_t
    return y, h, (Wx, Wh, b, bh, textbook, saved) if train else None


def gru_backward(
    dy: Array, dh: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array, Array | None]:
    """Return ``(dx, dh0, dWx, dWh, db, dbh)``; dbh is None for reset before."""
    Wx, Wh, b, bh, textbook, saved = stash
    N, T, _ = dy.shape
    dx, dh = np.zeros((N, T, len(Wx)), dy.dtype), dh.copy()
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dbh = None if bh is None else np.zeros_like(bh)
    for t, rows, internals in reversed(saved):
        dx[rows, t], dh[rows], *dweights = gru_cell_backward(dh[rows] + dy[rows, t], internals)
        add_to((dWx, dWh, db, dbh), dweights)
    if textbook:
        dWx, dWh, db = map(gru_to_textbook, (dWx, dWh, db))
    return dx, dh, dWx, dWh, db, dbh


def gru_step(
    x: Array,
    h: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    bh: Array | None,
    *,
    textbook: bool = False,
) -> Array:
    """Return the state after one more input, x (N, D)."""
    if textbook:
        Wx, Wh, b = map(gru_from_textbook, (Wx, Wh, b))
    return gru_cell(x, h, Wx, Wh, b, bh)[0]


def gru_cell(
    x: Array,
    h_prev: Array,
    Wx: Array,
    Wh: Array,
    b: Array,
    bh: Array | None,
    drop_h: Array | None = None,
) -> tuple[Array, Stash]:
    """Return the next h, and what `gru_cell_backward` needs."""
    met = dropped(h_prev, drop_h)
    ax = x @ Wx + b
    ax_r, ax_z, ax_n = np.split(ax, 3, axis=1)
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    r = sigmoid(ax_r + met @ Wh_r)
    z = sigmoid(ax_z + met @ Wh_z)
    if bh is None:
        inner = u = r * met
        a_n = ax_n + u @ Wh_n
    else:
        inner = v = met @ Wh_n + bh
        a_n = ax_n + r * v
    n = np.tanh(a_n)
    h = (1 - z) * n + z * h_prev
    return h, (x, h_prev, met, drop_h, Wx, Wh, bh, r, z, n, inner)


def gru_cell_backward(
    dh: Array, stash: Stash
) -> tuple[Array, Array, Array, Array, Array, Array | None]:
    """Return ``(dx, dh_prev, dWx, dWh, db, dbh)`` of one step."""
    x, h_prev, met, drop_h, Wx, Wh, bh, r, z, n, inner = stash
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    dz = dh * (h_prev - n)  # h = (1 - z) * n + z * h_prev
    dn = dh * (1 - z)  # h = (1 - z) * n + z * h_prev
    dh_prev = dh * z  # h = (1 - z) * n + z * h_prev
    da_n = dn * (1 - n * n)  # n = tanh(a_n)
    if bh is None:
        u = inner
        dWh_n = u.T @ da_n  # a_n = ax_n + u @ Wh_n
        du = da_n @ Wh_n.T  # a_n = ax_n + u @ Wh_n
        dr = du * met  # u = r * met
        dmet = du * r  # u = r * met
        dbh = None
    else:
        v = inner
        dr = da_n * v  # a_n = ax_n + r * v
        dv = da_n * r  # a_n = ax_n + r * v
        dWh_n = met.T @ dv  # v = met @ Wh_n + bh
        dbh = dv.sum(axis=0)  # v = met @ Wh_n + bh
        dmet = dv @ Wh_n.T  # v = met @ Wh_n + bh
    da_r = dr * r * (1 - r)  # r = sigmoid(a_r)
    da_z = dz * z * (1 - z)  # z = sigmoid(a_z)
    dWh_r = met.T @ da_r  # a_r = ax_r + met @ Wh_r
    dmet += da_r @ Wh_r.T  # a_r = ax_r + met @ Wh_r
    dWh_z = met.T @ da_z  # a_z = ax_z + met @ Wh_z
    dmet += da_z @ Wh_z.T  # a_z = ax_z + met @ Wh_z
    dh_prev += dropped(dmet, drop_h)  # met = dropped(h_prev)
    dax = np.concatenate((da_r, da_z, da_n), axis=1)
    dWx = x.T @ dax  # ax = x @ Wx + b
    db = dax.sum(axis=0)  # ax = x @ Wx + b
    dx = dax @ Wx.T  # ax = x @ Wx + b
    return dx, dh_prev, dWx, np.concatenate((dWh_r, dWh_z, dWh_n), axis=1), db, dbh
