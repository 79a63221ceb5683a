"""The simple recurrent network: ``h' = tanh(x Wx + h Wh + b)``, or relu instead of tanh."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn._cells import CELLS
from fastrnn._check import Array
from fastrnn.ops._backend import Stash
from fastrnn.ops._recurrent import backward_one, forward_one, step

CELL = CELLS["rnn"]


def rnn(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    *,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array]:
    """Run a simple recurrent network over time, for inference.

    Parameters
    ----------
    x : array (N, T, D)
        Inputs.
    h0 : array (N, H) or None
        Initial state; None is zeros.
    Wx : array (D, H)
        Input weights. Their dtype, float32 or float64, is that of all arrays.
    Wh, b : array (H, H) and (H,)
        Recurrent weights and bias.
    nonlinearity : {"tanh", "relu"}
        What the state goes through.
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
    A step is ``h' = tanh(x Wx + h Wh + b)``, or relu instead of tanh.

    References
    ----------
    Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """
    arguments = x, (h0,), (Wx, Wh, b), lengths, reverse, num_threads, backend
    y, (h,), _ = forward_one(CELL, *arguments, options=_options(nonlinearity))
    return y, h


def rnn_forward(
    x: Any,
    h0: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    *,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Stash | None]:
    """Run as `rnn` does and return (y, h, stash).

    Parameters
    ----------
    drop_h : array (N, H), optional
        As for `lstm_forward`.

    Returns
    -------
    y, h : array
        As `rnn`.
    stash : Stash
        For `rnn_backward`, any number of times. It refers to the arguments, which must not change
        before.

    Raises
    ------
    ValueError, TypeError
        As `rnn`.
    """
    arguments = x, (h0,), (Wx, Wh, b), lengths, reverse, num_threads, backend, drop_h
    options = _options(nonlinearity)
    y, (h,), stash = forward_one(CELL, *arguments, options=options, train=True)
    return y, h, stash


def rnn_backward(
    dy: Any, dh: Any, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, ...]:
    """Return the gradients (dx, dh0, dWx, dWh, db).

    Parameters
    ----------
    dy, dh, stash, num_threads
        As for `lstm_backward`; the stash is that of `rnn_forward`.

    Raises
    ------
    ValueError, TypeError
        As `lstm_backward`.
    """
    return backward_one(CELL, dy, (dh,), stash, num_threads)


def rnn_step(
    x: Any,
    h: Any,
    Wx: Any,
    Wh: Any,
    b: Any,
    *,
    nonlinearity: str = "tanh",
    backend: str | None = None,
) -> Array:
    """Run one time step: x (N, D) and h (N, H) give the new h (N, H).

    Raises
    ------
    ValueError, TypeError
        As `rnn`.
    """
    return step(CELL, x, (h,), (Wx, Wh, b), options=_options(nonlinearity), backend=backend)[0]


def _options(nonlinearity: str) -> dict[str, str]:
    check.option("RNN", "nonlinearity", nonlinearity, CELL.options["nonlinearity"])
    return {"nonlinearity": nonlinearity}
