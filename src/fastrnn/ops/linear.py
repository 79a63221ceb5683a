"""The affine map ``y = x W + b`` of the last axis."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash


def linear(
    x: Any, W: Any, b: Any = None, *, num_threads: int | None = None, backend: str | None = None
) -> Array:
    """Return ``x W + b``.

    Parameters
    ----------
    x : array (..., D)
        Inputs.
    W : array (D, O)
        Weights. Their dtype, float32 or float64, is that of all arrays.
    b : array (O,), optional
        Bias.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    y : array (..., O)
        Sums over D; `docs/limits.md` states how far long ones may be off.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape or an option is wrong; TypeError if a dtype is.
    """
    return linear_forward(x, W, b, num_threads=num_threads, backend=backend)[0]


def linear_forward(
    x: Any, W: Any, b: Any = None, *, num_threads: int | None = None, backend: str | None = None
) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `linear`.

    Raises
    ------
    ValueError, TypeError
        As `linear`.
    """
    dtype = check.float_dtype("Linear", "W", W)
    W = check.array("Linear", "W", W, ("D", "O"), dtype, contiguous=True)
    D, O = W.shape  # noqa: E741
    if b is not None:
        b = check.array("Linear", "b", b, (O,), dtype, contiguous=True)
    x = check.array("Linear", "x", x, (..., D), dtype, contiguous=True)
    num_threads = check.threads("Linear", num_threads)
    chosen = _backend.choose(backend)
    rows = x.reshape(x.size // D, D)
    y = _backend.get(chosen).linear_forward(rows, W, b, num_threads=num_threads)
    y = y.reshape(*x.shape[:-1], O)
    found = _backend.found({"x": x, "W": W})
    return y, Stash("Linear", chosen, dtype, (y.shape,), (x, W, b is not None), found)


def linear_backward(
    dy: Any, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array | None]:
    """Return the gradients (dx, dW, db) given that of y; db is None without b.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or the stash is not of `linear_forward`; TypeError if a
        dtype is.
    """
    stash = _backend.open_stash("Linear", stash)
    x, W, bias = stash.data
    dy = check.array("Linear", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    num_threads = check.threads("Linear", num_threads)
    D, O = W.shape  # noqa: E741
    M = x.size // D
    dx, dW, db = _backend.get(stash.backend).linear_backward(
        dy.reshape(M, O), x.reshape(M, D), W, bias=bias, num_threads=num_threads
    )
    return dx.reshape(x.shape), dW, db
