"""The hyperbolic tangent of every entry."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash


def tanh(x: Any, *, backend: str | None = None) -> Array:
    """Return ``tanh(x)``.

    Parameters
    ----------
    x : array (...)
        float32 or float64.
    backend : {"compiled", "reference"}, optional
        For this call; the default is that of `fastrnn.backend`.

    Returns
    -------
    y : array (...)

    Raises
    ------
    ValueError, TypeError
        ValueError if an option is wrong; TypeError if a dtype is.
    """
    return tanh_forward(x, backend=backend)[0]


def tanh_forward(x: Any, *, backend: str | None = None) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `tanh`.

    Raises
    ------
    ValueError, TypeError
        As `tanh`.
    """
    dtype = check.float_dtype("Tanh", "x", x)
    x = check.array("Tanh", "x", x, (...,), dtype, contiguous=True)
    chosen = _backend.choose(backend)
    y = _backend.get(chosen).tanh(x)
    return y, Stash("Tanh", chosen, dtype, (y.shape,), y.copy())  # y is the caller's


def tanh_backward(dy: Any, stash: Stash) -> Array:
    """Return the gradient of x given that of y.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or the stash is not of `tanh_forward`; TypeError if a
        dtype is.
    """
    stash = _backend.open_stash("Tanh", stash)
    dy = check.array("Tanh", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    return _backend.get(stash.backend).tanh_backward(dy, stash.data)
