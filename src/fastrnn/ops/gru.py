"""The GRU: ``h' = (1-z)*n + z*h``; gates in the order r, z, n.

With a bias `bh` the reset gate acts after the recurrent product, as in cuDNN:
``n = tanh(x Wn + b_n + r*(h Un + bh))``; without, before it: ``n = tanh(x Wn + b_n + (r*h) Un)``.
"""

from __future__ import annotations

from typing import Any

from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.ops._backend import Stash
from fastrnn.ops._recurrent import backward_one, forward_one, step

CELL = CELLS["gru"]


def gru(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    bh: Any = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array]:
    """Run a gated recurrent unit over time, for inference.

    Parameters
    ----------
    x : array (N, T, D)
        Inputs.
    h0 : array (N, H) or None
        Initial state; None is zeros.
    Wx : array (D, 3*H)
        Input weights, gates r, z, n. Their dtype, float32 or float64, is that of all arrays.
    Wh, b : array (H, 3*H) and (3*H,)
        Recurrent weights and bias.
    bh : array (H,), optional
        Recurrent bias of n; with it the reset gate acts after the recurrent product.
    lengths : integer array (N,), optional
        The steps of each sequence, 0 to T. Beyond them y is 0 and the state stays.
    reverse : bool
        Walk from each sequence's last step to its first.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    y : array (N, T, H)
        The state after each step.
    h : array (N, H)
        The state after each sequence's last step.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a length or an option is wrong; TypeError if a dtype is.

    Notes
    -----
    With ``[r, z] = sigmoid(x Wx_rz + h Wh_rz + b_rz)``, the columns of n being the last::

        n = tanh(x Wx_n + b_n + r * (h Wh_n + bh))    with bh
        n = tanh(x Wx_n + b_n + (r * h) Wh_n)         without
        h' = (1 - z) * n + z * h

    Chung et al. 2014 and most textbooks write ``h' = (1-z)*h + z*n``: their z is 1 minus ours.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, eq. 5 to 8; the
    reset after the product is that of cuDNN.
    """
    y, (h,), _ = forward_one(
        CELL, x, (h0,), (Wx, Wh, b, bh), lengths, reverse, num_threads, backend
    )
    return y, h


def gru_forward(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    bh: Any = None,
    *,
    lengths: Any = None,
    reverse: bool = False,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Stash | None]:
    """Run as `gru` does and return (y, h, stash).

    Parameters
    ----------
    drop_h : array (N, H), optional
        As for `lstm_forward`, before r, z and n are made; ``z*h`` has all of h.

    Returns
    -------
    y, h : array
        As `gru`.
    stash : Stash
        For `gru_backward`, any number of times. It refers to the arguments, which must not change
        before.

    Raises
    ------
    ValueError, TypeError
        As `gru`.
    """
    y, (h,), stash = forward_one(
        CELL, x, (h0,), (Wx, Wh, b, bh), lengths, reverse, num_threads, backend, drop_h, train=True
    )
    return y, h, stash


def gru_backward(
    dy: Any, dh: Any, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array | None, ...]:
    """Return the gradients (dx, dh0, dWx, dWh, db, dbh); dbh is None without bh.

    Parameters
    ----------
    dy, dh, stash, num_threads
        As for `lstm_backward`; the stash is that of `gru_forward`.

    Raises
    ------
    ValueError, TypeError
        As `lstm_backward`.
    """
    return backward_one(CELL, dy, (dh,), stash, num_threads)


def gru_step(
    x: Any, h: Any, Wx: Any, Wh: Any, b: Any, bh: Any = None, *, backend: str | None = None
) -> Array:
    """Run one time step: x (N, D) and h (N, H) give the new h (N, H).

    Raises
    ------
    ValueError, TypeError
        As `gru`.
    """
    return step(CELL, x, (h,), (Wx, Wh, b, bh), backend=backend)[0]
