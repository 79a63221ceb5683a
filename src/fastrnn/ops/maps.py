"""Maps of each entry, row or vector on its own: linear, embedding, dropout and tanh."""

from __future__ import annotations

from typing import Any

import numpy as np

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

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape or an option is wrong; TypeError if a dtype is.
    """
    return linear_forward(x, W, b, num_threads=num_threads, backend=backend)[0]


def linear_forward(
    x: Any, W: Any, b: Any = None, *, num_threads: int | None = None, backend: str | None = None
) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `linear`."""
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
    return y, Stash("Linear", chosen, dtype, (y.shape,), (x, W, b is not None))


def linear_backward(
    dy: Any, stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, Array, Array | None]:
    """Return the gradients (dx, dW, db) given that of y; db is None without b."""
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


def embedding(ids: Any, W: Any, *, backend: str | None = None) -> Array:
    """Return ``W[ids]``.

    Parameters
    ----------
    ids : integer array (...)
        Row numbers, 0 to V-1.
    W : array (V, D)
        The table, float32 or float64.
    backend : {"compiled", "reference"}, optional
        For this call; the default is that of `fastrnn.backend`.

    Returns
    -------
    y : array (..., D)

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, an id or an option is wrong; TypeError if a dtype is.
    """
    return embedding_forward(ids, W, backend=backend)[0]


def embedding_forward(ids: Any, W: Any, *, backend: str | None = None) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `embedding`."""
    dtype = check.float_dtype("Embedding", "W", W)
    W = check.array("Embedding", "W", W, ("V", "D"), dtype, contiguous=True)
    V, D = W.shape
    ids = check.integers("Embedding", "ids", ids, (...,), V)
    chosen = _backend.choose(backend)
    y = _backend.get(chosen).embedding_forward(ids.reshape(-1), W).reshape(*ids.shape, D)
    return y, Stash("Embedding", chosen, dtype, (y.shape,), (ids.flatten(), V))


def embedding_backward(dy: Any, stash: Stash) -> Array:
    """Return the gradient of W (V, D) given that of y: each row sums dy (..., D) over its id."""
    stash = _backend.open_stash("Embedding", stash)
    ids, V = stash.data
    dy = check.array("Embedding", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    rows = dy.reshape(len(ids), dy.shape[-1])
    return _backend.get(stash.backend).embedding_backward(rows, ids, V)


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
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """
    return dropout_forward(x, p, rng=rng, backend=backend)[0]


def dropout_forward(
    x: Any, p: float, *, rng: np.random.Generator, backend: str | None = None
) -> tuple[Array, Stash]:
    """Return (y, stash), y as of `dropout`."""
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
    """Return the gradient of x given that of y: the same entries dropped, the others scaled."""
    stash = _backend.open_stash("Dropout", stash)
    dx = check.array("Dropout", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    if stash.data is not None:
        dx = _backend.get(stash.backend).dropout(dx, *stash.data)
    return dx


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
    """Return (y, stash), y as of `tanh`."""
    dtype = check.float_dtype("Tanh", "x", x)
    x = check.array("Tanh", "x", x, (...,), dtype, contiguous=True)
    chosen = _backend.choose(backend)
    y = _backend.get(chosen).tanh(x)
    return y, Stash("Tanh", chosen, dtype, (y.shape,), y.copy())  # y is the caller's


def tanh_backward(dy: Any, stash: Stash) -> Array:
    """Return the gradient of x given that of y."""
    stash = _backend.open_stash("Tanh", stash)
    dy = check.array("Tanh", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    return _backend.get(stash.backend).tanh_backward(dy, stash.data)
