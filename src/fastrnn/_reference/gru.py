"""The GRU (Cho et al. 2014, arXiv:1406.1078); the gates r, z, n lie side by side in this order.

``r = sigmoid(x Wx_r + h Wh_r + b_r)``                    (equation 5)
``z = sigmoid(x Wx_z + h Wh_z + b_z)``                    (equation 6)
``h' = (1 - z) * n + z * h``                              (equation 7)
``n = tanh(x Wx_n + b_n + (r * h) Wh_n)``                 reset before (equation 8)
``n = tanh(x Wx_n + b_n + r * (h Wh_n + bh))``            reset after (its first version; cuDNN)

Whether `bh` is given decides between the two. With dropout, `drop_h` (N, H) times h takes the place
of h in r, z and n, before any product; ``z * h`` has h itself.

Shapes: x (N, D), h (N, H), Wx (D, 3H), Wh (H, 3H), b (3H,), bh (H,) or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activations import sigmoid
from .sequence import columns, dropped
from .types import Array, Stash


def step(
    x: Array, states: Sequence[Array], weights: Sequence[Any], drop_h: Array | None
) -> tuple[tuple[Array], Stash]:
    """Return the next state ``(h,)``, and what `step_backward` needs."""
    (h_prev,), (Wx, Wh, b, bh) = states, weights
    h_dropped = dropped(h_prev, drop_h)
    ax = x @ Wx + b
    ax_r, ax_z, ax_n = np.split(ax, 3, axis=1)
    Wh_r, Wh_z, Wh_n = columns(Wh, 3)
    r = sigmoid(ax_r + h_dropped @ Wh_r)
    z = sigmoid(ax_z + h_dropped @ Wh_z)
    if bh is None:
        inner = u = r * h_dropped
        a_n = ax_n + u @ Wh_n
    else:
        inner = v = h_dropped @ Wh_n + bh
        a_n = ax_n + r * v
    n = np.tanh(a_n)
    h = (1 - z) * n + z * h_prev
    return (h,), (x, h_prev, h_dropped, drop_h, Wx, Wh, bh, r, z, n, inner)


def step_backward(
    dstates: Sequence[Array], saved: Stash
) -> tuple[Array, tuple[Array], tuple[Array | None, ...]]:
    """Return ``dx, (dh_prev,), (dWx, dWh, db, dbh)`` of one step; dbh is None for reset before."""
    (dh,), (x, h_prev, h_dropped, drop_h, Wx, Wh, bh, r, z, n, inner) = dstates, saved
    Wh_r, Wh_z, Wh_n = np.split(Wh, 3, axis=1)
    dz = dh * (h_prev - n)  # h = (1 - z) * n + z * h_prev
    dn = dh * (1 - z)  # h = (1 - z) * n + z * h_prev
    dh_prev = dh * z  # h = (1 - z) * n + z * h_prev
    da_n = dn * (1 - n * n)  # n = tanh(a_n)
    if bh is None:
        u = inner
        dWh_n = u.T @ da_n  # a_n = ax_n + u @ Wh_n
        du = da_n @ Wh_n.T  # a_n = ax_n + u @ Wh_n
        dr = du * h_dropped  # u = r * h_dropped
        dh_dropped = du * r  # u = r * h_dropped
        dbh = None
    else:
        v = inner
        dr = da_n * v  # a_n = ax_n + r * v
        dv = da_n * r  # a_n = ax_n + r * v
        dWh_n = h_dropped.T @ dv  # v = h_dropped @ Wh_n + bh
        dbh = dv.sum(axis=0)  # v = h_dropped @ Wh_n + bh
        dh_dropped = dv @ Wh_n.T  # v = h_dropped @ Wh_n + bh
    da_r = dr * r * (1 - r)  # r = sigmoid(a_r)
    da_z = dz * z * (1 - z)  # z = sigmoid(a_z)
    dWh_r = h_dropped.T @ da_r  # a_r = ax_r + h_dropped @ Wh_r
    dh_dropped += da_r @ Wh_r.T  # a_r = ax_r + h_dropped @ Wh_r
    dWh_z = h_dropped.T @ da_z  # a_z = ax_z + h_dropped @ Wh_z
    dh_dropped += da_z @ Wh_z.T  # a_z = ax_z + h_dropped @ Wh_z
    dh_prev += dropped(dh_dropped, drop_h)  # h_dropped = dropped(h_prev)
    dWh = np.concatenate((dWh_r, dWh_z, dWh_n), axis=1)
    dax = np.concatenate((da_r, da_z, da_n), axis=1)
    dWx = x.T @ dax  # ax = x @ Wx + b
    db = dax.sum(axis=0)  # ax = x @ Wx + b
    dx = dax @ Wx.T  # ax = x @ Wx + b
    return dx, (dh_prev,), (dWx, dWh, db, dbh)
