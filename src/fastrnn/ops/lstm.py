"""The LSTM: ``c' = f*c + i*g`` and ``h' = o*tanh(c')``; gates in the order i, f, g, o."""

from __future__ import annotations

from typing import Any

from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.ops._backend import Stash
from fastrnn.ops._recurrent import backward_one, forward_one, step

CELL = CELLS["lstm"]


def lstm(
    x: Any,
    h0: Any,
    c0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    *,
    lengths: Any = None,
    reverse: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array]:
    """Run a long short-term memory over time, for inference.

    Parameters
    ----------
    x : array (N, T, D)
        Inputs.
    h0, c0 : array (N, H) or None
        Initial state; None is zeros.
    Wx : array (D, 4*H)
        Input weights, gates i, f, g, o. Their dtype, float32 or float64, is that of all arrays.
    Wh, b : array (H, 4*H) and (4*H,)
        Recurrent weights and bias.
    lengths : integer array (N,), optional
        The steps of each sequence, 0 to T. Beyond them y is 0 and the state stays.
    reverse : bool
        Walk from each sequence's last step to its first.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    y : array (N, T, H)
        h after each step.
    h, c : array (N, H)
        The state after each sequence's last step.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a length or an option is wrong; TypeError if a dtype is.

    Notes
    -----
    With ``[i, f, g, o] = x Wx + h Wh + b``, the columns of each in this order::

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; the forget
    gate: Gers, Schmidhuber and Cummins, "Learning to forget", 2000; without peepholes, as in
    Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014, section 3.1.
    """
    y, (h, c), _ = forward_one(
        CELL, x, (h0, c0), (Wx, Wh, b), lengths, reverse, num_threads, backend
    )
    return y, h, c


def lstm_forward(
    x: Any,
    h0: Any,
    c0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    *,
    lengths: Any = None,
    reverse: bool = False,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array, Stash | None]:
    """Run as `lstm` does and return (y, h, c, stash).

    Parameters
    ----------
    drop_h : array (N, H), optional
        Factors of h where it meets Wh, at every step the same: variational dropout (Gal and
        Ghahramani 2016) has 0 with probability p, else 1 / (1 - p).

    Returns
    -------
    y, h, c : array
        As `lstm`.
    stash : Stash
        For `lstm_backward`, any number of times. It refers to the arguments, which must not change
        before.

    Raises
    ------
    ValueError, TypeError
        As `lstm`.
    """
    y, (h, c), stash = forward_one(
        CELL, x, (h0, c0), (Wx, Wh, b), lengths, reverse, num_threads, backend, drop_h, train=True
    )
    return y, h, c, stash


def lstm_backward(
    dy: Any, dh: Any, dc: Any, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, ...]:
    """Return the gradients (dx, dh0, dc0, dWx, dWh, db).

    Parameters
    ----------
    dy : array (N, T, H) or None
        Gradient of y; None is zeros.
    dh, dc : array (N, H) or None
        Gradients of the final state; None is zeros.
    stash : Stash
        From `lstm_forward`; the backward runs on the backend that ran it.
    num_threads : int, optional
        For this call.

    Returns
    -------
    tuple of array
        Of the shapes of the arguments of `lstm_forward`.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or the stash is not of `lstm_forward`; TypeError if a
        dtype is.
    """
    return backward_one(CELL, dy, (dh, dc), stash, num_threads)


def lstm_step(
    x: Any, h: Any, c: Any, Wx: Any, Wh: Any, b: Any, *, backend: str | None = None
) -> tuple[Array, Array]:
    """Run one time step: x (N, D) and h, c (N, H) give the new (h, c).

    Raises
    ------
    ValueError, TypeError
        As `lstm`.
    """
    h, c = step(CELL, x, (h, c), (Wx, Wh, b), backend=backend)
    return h, c
