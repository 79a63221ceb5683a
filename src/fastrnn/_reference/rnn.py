"""The simple recurrent cell (Elman 1990), with tanh or relu (Le, Jaitly and Hinton 2015).

``h_t = act(x_t Wx + h_{t-1} Wh + b)``

Shapes: x (N, T, D), h (N, H), Wx (D, H), Wh (H, H), b (H,), y (N, T, H).
"""

from __future__ import annotations

import numpy as np

from .sequence import outputs, pack, project, project_backward, steps
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
) -> tuple[Array, Array, Stash | None]:
    """Return all states y, the final state h, and what `rnn_backward` needs."""
    N, T, _ = x.shape
    y, h = outputs(out, x, h0), h0.copy()
    ax = project(x, Wx, b, lengths)
    saved = np.empty((2, N, T, h.shape[1]), x.dtype) if train else None
    for t, rows in steps(T, lengths, reverse):
        h_prev = h[rows]
        h_next = _cell(ax[rows, t], h_prev, Wh, nonlinearity)
        if saved is not None:
            saved[:, rows, t] = h_next, h_prev
        h[rows] = y[rows, t] = h_next
    return y, h, (x, Wx, Wh, nonlinearity, lengths, reverse, saved) if train else None


def rnn_backward(
    dy: Array, dh: Array, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array, Array, Array]:
    """Return ``(dx, dh0, dWx, dWh, db)``: backpropagation through time (Werbos 1990)."""
    x, Wx, Wh, nonlinearity, lengths, reverse, saved = stash
    da, dh = np.empty_like(saved[0]), dh.copy()
    for t, rows in steps(x.shape[1], lengths, not reverse):
        h, _ = saved[:, rows, t]
        dh_t = dh[rows] + dy[rows, t]
        da_t = _activation_backward(dh_t, h, nonlinearity)  # h = act(a)
        dh[rows] = da_t @ Wh.T  # a = ax + h_prev @ Wh
        da[rows, t] = da_t

    dx, dWx, db = project_backward(da, x, Wx, lengths)
    dWh = pack(saved[1], lengths).T @ pack(da, lengths)  # a = ax + h_prev @ Wh
    return dx, dh, dWx, dWh, db


def rnn_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array, *, nonlinearity: str) -> Array:
    """Return the state after one more input, x (N, D)."""
    return _cell(x @ Wx + b, h, Wh, nonlinearity)


def _cell(ax: Array, h: Array, Wh: Array, nonlinearity: str) -> Array:
    a = ax + h @ Wh
    h_next: Array = np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0)
    return h_next


def _activation_backward(dh: Array, h: Array, nonlinearity: str) -> Array:
    """Return da of ``h = act(a)``; the slope of either is a function of h."""
    return dh * (1 - h * h) if nonlinearity == "tanh" else np.where(h <= 0, 0, dh)
