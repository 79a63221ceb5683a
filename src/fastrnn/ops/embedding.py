"""Rows of a table by integer id."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash


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
    """Return (y, stash), y as of `embedding`.

    Raises
    ------
    ValueError, TypeError
        As `embedding`.
    """
    dtype = check.float_dtype("Embedding", "W", W)
    W = check.array("Embedding", "W", W, ("V", "D"), dtype, contiguous=True)
    V, D = W.shape
    ids = check.integers("Embedding", "ids", ids, (...,), V)
    chosen = _backend.choose(backend)
    y = _backend.get(chosen).embedding_forward(ids.reshape(-1), W).reshape(*ids.shape, D)
    return y, Stash("Embedding", chosen, dtype, (y.shape,), (ids.reshape(-1), V))


def embedding_backward(dy: Any, stash: Stash) -> Array:
    """Return the gradient of W (V, D) given that of y: each row sums dy (..., D) over its id.

    `docs/limits.md` states how far sums over many places of an id may be off.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or the stash is not of `embedding_forward`; TypeError if a
        dtype is.
    """
    stash = _backend.open_stash("Embedding", stash)
    ids, V = stash.data
    dy = check.array("Embedding", "dy", dy, stash.shapes[0], stash.dtype, contiguous=True)
    rows = dy.reshape(len(ids), dy.shape[-1])
    return _backend.get(stash.backend).embedding_backward(rows, ids, V)
