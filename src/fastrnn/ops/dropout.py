"""Dropout (Srivastava et al. 2014), inverted: kept entries are scaled up while training."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash


def dropout(x: Any, p: float, *, rng: np.random.Generator, backend: str | None = None) -> Array:
    """Set entries to 0 with probability p and divide the others by 1 - p.

    Parameters
    ----------
    x : array (...)
        Inputs, float32 or float64.
    p : float
        Probability of an entry to be dropped, in [0, 1).
    rng : numpy.random.Generator
        What draws; the same draws in both dtypes.
    backend : {"compiled", "reference"}, optional
        For this call; the default is that of `fastrnn.backend`.

    Returns
    -------
    y : array (...)
        x itself where p is 0.

    Raises
    ------
    ValueError, TypeError
        ValueError if p or an option is wrong; TypeError if a dtype is, or rng is no generator.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """
    return dropout_forward(x, p, rng=rng, backend=backend)[0]


def dropout_forward(
    x: Any, p: float, *, rng: np.random.Generator, backend: str | None = None
) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `dropout`.

    Raises
    ------
    ValueError, TypeError
        As `dropout`.
    """
    dtype = check.float_dtype("Dropout", "x", x)
    x = check.array("Dropout", "x", x, (...,), dtype, contiguous=True)
    p = check.probability("Dropout", "p", p)
    rng = check.generator("Dropout", rng)
    chosen = _backend.choose(backend)
    if p == 0:
        return x, Stash("Dropout", chosen, dtype, (x.shape,), None)
    keep = rng.random(x.shape, np.float32) >= p
    scale = 1.0 / (1.0 - p)
    y = _backend.get(chosen).dropout(x, keep, scale)
    return y, Stash("Dropout", chosen, dtype, (x.shape,), (keep, scale))


def dropout_backward(dy: Any, stash: Stash) -> Array:
    """Return the gradient of x given that of y: the same entries dropped, the others scaled.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or the stash is not of `dropout_forward`; TypeError if a
        dtype is.
    """
    stash = _backend.open_stash("Dropout", stash)
    dx = check.array("Dropout", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    if stash.data is not None:
        dx = _backend.get(stash.backend).dropout(dx, *stash.data)
    return dx
