"""The choice between the two backends: the one piece of state at this floor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from fastrnn import _check as check
from fastrnn._cells import Cell, Options
from fastrnn._check import Array


class Backend(Protocol):
    """What a backend has: `fastrnn._reference` defines these functions, `_kernels` compiles them.

    A recurrent function takes one layer in its directions. `states` are arrays (directions, N, H),
    h first, and `weights` come for each direction in the order of `Cell.weights`.
    """

    def recurrent_forward(
        self,
        cell: Cell,
        x: Array,
        states: Sequence[Array],
        weights: Sequence[Sequence[Array | None]],
        *,
        options: Options,
        reverse: Sequence[bool],
        lengths: Array | None,
        train: bool,
        drop_h: Array | None = None,
        embedding: Array | None = None,
        out: Array | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, list[Array], Any]:
        """Return y, the final states and, if `train`, a stash; `embedding` makes ids of x."""

    def recurrent_backward(
        self,
        cell: Cell,
        dy: Array,
        dstates: Sequence[Array],
        stash: Any,
        *,
        num_threads: int | None = None,
    ) -> tuple[Array, list[Array], list[tuple[Any, ...]]]:
        """Return dx or the gradient of the embedding, dstates and the gradients of the weights."""

    def recurrent_step(
        self,
        cell: Cell,
        x: Array,
        states: Sequence[Array],
        weights: Sequence[Array | None],
        *,
        options: Options,
    ) -> tuple[Array, ...]:
        """Return the states (N, H) after one step of x (N, D)."""

    def recurrent_freeze(
        self,
        cell: Cell,
        cells: Sequence[Sequence[Array | None]],
        *,
        options: Options,
        directions: int,
        residual: bool,
        owners: Iterable[Array],
        num_threads: int | None = None,
    ) -> Any:
        """Return stacked cells packed once, or None where nothing is packed."""

    def __getattr__(self, name: str) -> Any: ...


_MODULES = {"compiled": "fastrnn._kernels", "reference": "fastrnn._reference"}
_ENVIRONMENT = os.environ.get("FASTRNN_BACKEND") or "compiled"
_chosen = ContextVar("fastrnn_backend", default=_ENVIRONMENT)
_loaded: dict[str, Backend] = {}


def backend(name: str) -> AbstractContextManager[None]:
    """Choose the backend for the operations within a ``with`` block.

    The choice holds for the current thread (or asynchronous task); a backward runs on the backend
    that ran its forward, also outside the block. Elsewhere the backend is the one that the
    environment variable ``FASTRNN_BACKEND`` names, or ``"compiled"``.

    Parameters
    ----------
    name : {"compiled", "reference"}
        The compiled kernels, or plain NumPy.

    Returns
    -------
    context manager

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> with fastrnn.backend("reference"):
    ...     y, h = gru(x)
    """
    return _using(check.option("fastrnn", "backend", name, _MODULES))


def choose(name: str | None = None) -> str:
    """Return the backend's name: the given one, else that of the context."""
    if name is not None:
        return check.option("fastrnn", "backend", name, _MODULES)
    if (name := _chosen.get()) not in _MODULES:
        check.option("fastrnn", "FASTRNN_BACKEND", name, _MODULES)
    return name


def get(name: str | None = None) -> Backend:
    """Return the backend's module, imported when it is first used."""
    if (module := _loaded.get(_chosen.get() if name is None else name)) is None:
        module = cast(Backend, import_module(_MODULES[name := choose(name)]))
        _loaded[name] = module
    return module


@contextmanager
def _using(name: str) -> Iterator[None]:
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


@dataclass(frozen=True)
class Stash:
    """What a forward hands to its backward; opaque to the caller, good for any number of them.

    It refers to the inputs and the weights of the forward without a copy: they must not change
    before the last backward.
    """

    layer: str
    backend: str
    dtype: check.DType
    shapes: tuple[tuple[int, ...], ...]  # of the gradients that the backward takes, and others
    data: Any  # what the backward needs of the forward


def open_stash(layer: str, stash: Any) -> Stash:
    """Return `stash` if it comes from the forward of this layer."""
    if not isinstance(stash, Stash) or stash.layer != layer:
        came = f"that of {stash.layer}" if isinstance(stash, Stash) else type(stash).__name__
        raise ValueError(f"{layer}: stash must be that of a forward of {layer}, got {came}")
    return stash
