"""The GRU (Cho et al. 2014, arXiv:1406.1078); the gates r, z, n lie side by side in this order.

``r = sigmoid(x Wx_r + h Wh_r + b_r)``                    (equation 5)
``z = sigmoid(x Wx_z + h Wh_z + b_z)``                    (equation 6)
``h' = (1 - z) * n + z * h``                              (equation 7)
``n = tanh(x Wx_n + b_n + (r * h) Wh_n)``                 reset before (equation 8)
``n = tanh(x Wx_n + b_n + r * (h Wh_n + bh))``            reset after (its first version; cuDNN)

Whether `bh` is given decides between the two.

Shapes: x (N, T, D), h (N, H), Wx (D, 3H), Wh (H, 3H), b (3H,), bh (H,) or None, y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .activations import sigmoid
from .sequence import outputs, pack, project, project_backward, steps
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
) -> tuple[Array, Array, Stash | None]:
    """Return all states y, the final state h, and what `gru_backward` needs."""
    N, T, _ = x.shape
    y, h = outputs(out, x, h0), h0.copy()
    ax = project(x, Wx, b, lengths)
    saved = np.empty((5, N, T, h.shape[1]), x.dtype) if train else None
    for t, rows in steps(T, lengths, reverse):
        h_prev = h[rows]
        h_next, internals = _cell(ax[rows, t], h_prev, Wh, bh)
        if saved is not None:
            saved[:, rows, t] = *internals, h_prev
        h[rows] = y[rows, t] = h_next
    return y, h, (x, Wx, Wh, bh is not None, lengths, reverse, saved) if train else None


def gru_backward(
    dy: Array, dh: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array, Array | None]:
    """Return ``(dx, dh0, dWx, dWh, db, dbh)``; dbh is None for reset before."""
    x, Wx, Wh, reset_after, lengths, reverse, saved = stash
    N, T, _ = x.shape
    H = len(Wh)
    Wh_rz, Wh_n = Wh[:, : 2 * H], Wh[:, 2 * H :]
    da, dv, dh = np.empty((N, T, 3 * H), x.dtype), np.empty((N, T, H), x.dtype), dh.copy()
    for t, rows in steps(T, lengths, not reverse):
        r, z, n, inner, h_prev = saved[:, rows, t]
        dh_t = dh[rows] + dy[rows, t]
        dz = dh_t * (h_prev - n)  # h = (1 - z) * n + z * h_prev
        dn = dh_t * (1 - z)  # h = (1 - z) * n + z * h_prev
        dh_prev = dh_t * z  # h = (1 - z) * n + z * h_prev
        da_n = dn * (1 - n * n)  # n = tanh(a_n)
        if reset_after:
            dv_t = da_n * r  # a_n = ax_n + r * v
            dr = da_n * inner  # a_n = ax_n + r * v
            dh_prev += dv_t @ Wh_n.T  # v = h_prev @ Wh_n + bh
        else:
            dv_t = da_n  # a_n = ax_n + v
            du = dv_t @ Wh_n.T  # v = u @ Wh_n
            dr = du * h_prev  # u = r * h_prev
            dh_prev += du * r  # u = r * h_prev
        da_r = dr * r * (1 - r)  # r = sigmoid(a_r)
        da_z = dz * z * (1 - z)  # z = sigmoid(a_z)
        da_rz = np.concatenate((da_r, da_z), axis=1)
        dh[rows] = dh_prev + da_rz @ Wh_rz.T  # a_rz = ax_rz + h_prev @ Wh_rz
        da[rows, t], dv[rows, t] = np.concatenate((da_rz, da_n), axis=1), dv_t

    dx, dWx, db = project_backward(da, x, Wx, lengths)
    h_prev, dv = pack(saved[4], lengths), pack(dv, lengths)
    u = h_prev if reset_after else pack(saved[3], lengths)
    dWh_rz = h_prev.T @ pack(da, lengths)[:, : 2 * H]  # a_rz = ax_rz + h_prev @ Wh_rz
    dWh = np.concatenate((dWh_rz, u.T @ dv), axis=1)  # v = u @ Wh_n
    dbh = dv.sum(axis=0) if reset_after else None  # v = h_prev @ Wh_n + bh
    return dx, dh, dWx, dWh, db, dbh


def gru_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array, bh: Array | None) -> Array:
    """Return the state after one more input, x (N, D)."""
    return _cell(x @ Wx + b, h, Wh, bh)[0]


def _cell(ax: Array, h: Array, Wh: Array, bh: Array | None) -> tuple[Array, tuple[Array, ...]]:
    """Return the next state, and r, z, n and u (reset before) or v (reset after)."""
    H = len(Wh)
    rz = sigmoid(ax[:, : 2 * H] + h @ Wh[:, : 2 * H])
    r, z = rz[:, :H], rz[:, H:]
    if bh is None:
        inner = u = r * h
        a_n = ax[:, 2 * H :] + u @ Wh[:, 2 * H :]
    else:
        inner = v = h @ Wh[:, 2 * H :] + bh
        a_n = ax[:, 2 * H :] + r * v
    n = np.tanh(a_n)
    return (1 - z) * n + z * h, (r, z, n, inner)
