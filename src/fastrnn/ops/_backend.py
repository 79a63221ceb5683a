"""The choice between the two backends: the one piece of state at this floor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from fastrnn import _check as check
from fastrnn._cells import Cell, Options
from fastrnn._check import Array

Weights: TypeAlias = Sequence[Any]  # of one direction, or their gradients
Found: TypeAlias = "tuple[str, Array, tuple[int, ...], tuple[int, ...], check.DType]"


class Backend(Protocol):
    """What a backend has: `fastrnn._reference` defines these functions, `_kernels` compiles them.

    They take checked arguments. A recurrent one takes one layer in its directions: `states` are
    arrays (directions, N, H), h first (P wide where it is projected), and `weights` come for each
    direction in the order of `Cell.weights`. Where x holds ids, the gradient of the embedding takes
    the place of dx.
    """

    def recurrent_forward(
        self,
        cell: Cell,
        x: Array,
        states: Sequence[Array],
        weights: Sequence[Weights],
        *,
        options: Options,
        reverse: Sequence[bool],
        lengths: Array | None,
        train: bool,
        drop_h: Array | None = None,
        embedding: Array | None = None,
        out: Array | None = None,
        masks: Array | None = None,
        num_threads: int | None = None,
    ) -> tuple[Array, list[Array], Any]: ...
    def recurrent_backward(
        self,
        cell: Cell,
        dy: Array,
        dstates: Sequence[Array],
        stash: Any,
        *,
        num_threads: int | None = None,
    ) -> tuple[Array, list[Array], list[Weights]]: ...
    def recurrent_step(
        self, cell: Cell, x: Array, states: Sequence[Array], weights: Weights, *, options: Options
    ) -> tuple[Array, ...]: ...
    def recurrent_freeze(
        self,
        cell: Cell,
        cells: Sequence[Weights],
        *,
        options: Options,
        directions: int,
        residual: bool,
        owners: Iterable[Array],
    ) -> Any: ...
    def attention_forward(
        self,
        query: Array,
        keys: Array,
        values: Array,
        weights: tuple[Array, ...],
        *,
        score: str,
        lengths: Array | None,
        train: bool,
        heads: int = 1,
        num_threads: int | None = None,
    ) -> tuple[Array, Array, Any]: ...
    def attention_backward(
        self,
        dcontext: Array,
        dattention: Array | None,
        stash: Any,
        *,
        shared: bool = False,
        num_threads: int | None = None,
    ) -> tuple[Array, Array, Array | None, tuple[Array, ...]]: ...
    def attention_decoder_forward(
        self,
        decoder: Any,
        x: Array,
        fed: Array | None,
        states: Sequence[Array],
        memory: Array,
        *,
        lengths: Array | None,
        steps: Array | None,
        drops: Array | None,
        drop_h: Array | None,
        train: bool,
        num_threads: int | None = None,
    ) -> tuple[Array, Array, Array | None, list[Array], Any]: ...
    def attention_decoder_backward(
        self,
        dfeatures: Array,
        dattention: Array | None,
        dfed: Array | None,
        dstates: Sequence[Array],
        stash: Any,
        *,
        num_threads: int | None = None,
    ) -> tuple[Array, Array | None, list[Array], Array, list[Weights], Weights, Weights]: ...
    def decode_greedy(
        self,
        decoder: Any,
        states: list[Array],
        memory: Array | None,
        lengths: Array | None,
        constant: Array | None,
        *,
        start: Array,
        end: int | None,
        max_length: int,
        forced: Array | None,
        use_forced: Array | None,
        return_attention: bool,
        num_threads: int | None = None,
    ) -> tuple[Array, Array, Array, Array | None]: ...
    def decode_sample(
        self,
        decoder: Any,
        states: list[Array],
        memory: Array | None,
        lengths: Array | None,
        constant: Array | None,
        *,
        start: Array,
        end: int | None,
        max_length: int,
        forced: Array | None,
        use_forced: Array | None,
        return_attention: bool,
        seeds: Array,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        num_threads: int | None = None,
    ) -> tuple[Array, Array, Array, Array | None]: ...
    def decode_beam(
        self,
        decoder: Any,
        states: list[Array],
        memory: Array | None,
        lengths: Array | None,
        constant: Array | None,
        *,
        start: Array,
        end: int,
        max_length: int,
        beam_size: int,
        n_best: int,
        length_penalty: float,
        coverage_penalty: float,
        return_attention: bool,
        num_threads: int | None = None,
    ) -> list[list[tuple[Array, float, float, bool, Array | None]]]: ...
    def linear_forward(
        self, x: Array, W: Array, b: Array | None, *, num_threads: int | None = None
    ) -> Array: ...
    def linear_backward(
        self, dy: Array, x: Array, W: Array, *, bias: bool, num_threads: int | None = None
    ) -> tuple[Array, Array, Array | None]: ...
    def embedding_forward(self, ids: Array, W: Array) -> Array: ...
    def embedding_backward(self, dy: Array, ids: Array, num_embeddings: int) -> Array: ...
    def dropout(self, x: Array, keep: Array, scale: float) -> Array: ...
    def tanh(self, x: Array) -> Array: ...
    def tanh_backward(self, dy: Array, y: Array) -> Array: ...
    def softmax_cross_entropy(
        self,
        logits: Array,
        targets: Array,
        *,
        ignore_index: int | None,
        train: bool,
        label_smoothing: float = 0.0,
        num_threads: int | None = None,
    ) -> tuple[float, Array | None]: ...
    def sgd_update(self, param: Array, grad: Array, *, lr: float) -> None: ...
    def momentum_update(
        self, param: Array, grad: Array, velocity: Array, *, lr: float, momentum: float
    ) -> None: ...
    def adagrad_update(
        self, param: Array, grad: Array, square: Array, *, lr: float, eps: float
    ) -> None: ...
    def rmsprop_update(
        self, param: Array, grad: Array, square: Array, *, lr: float, rho: float, eps: float
    ) -> None: ...
    def adam_update(
        self,
        param: Array,
        grad: Array,
        mean: Array,
        square: Array,
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        step: int,
        weight_decay: float,
    ) -> None: ...
    def scale_in_place(self, array: Array, factor: float) -> None: ...
    def squared_norm(self, array: Array) -> float: ...


if TYPE_CHECKING:
    from fastrnn import _kernels, _reference

    _DEFINED: Backend = _reference
    _COMPILED: Backend = _kernels

_MODULES = {"compiled": "fastrnn._kernels", "reference": "fastrnn._reference"}
# A build without a C compiler has the Python files of the kernels, but none of the modules.
_RUNTIME = Path(__file__).parent.parent / "_kernels" / "runtime"
HAS_KERNELS = PathFinder.find_spec("cpu", [str(_RUNTIME)]) is not None
NO_KERNELS = "it was built without a C compiler and has NumPy alone, which is many times slower"
# Of those that are installed, the first is the default. The empty choice is the default of an
# installation without kernels: whoever has not asked for NumPy is told once.
INSTALLED = ("compiled", "reference") if HAS_KERNELS else ("reference",)
_DEFAULT = "compiled" if HAS_KERNELS else ""
_chosen = ContextVar("fastrnn_backend", default=os.environ.get("FASTRNN_BACKEND") or _DEFAULT)
_loaded: dict[str, Backend] = {}


def backend(name: str) -> AbstractContextManager[None]:
    """Choose the backend for the operations within a ``with`` block.

    The choice holds for the current thread (or asynchronous task); a backward runs on the backend
    that ran its forward, also outside the block. Elsewhere the backend is the one that the
    environment variable ``FASTRNN_BACKEND`` names, or ``"compiled"``.

    Parameters
    ----------
    name : {"compiled", "reference"}
        The compiled kernels, or plain NumPy. An installation without a C compiler has the second
        alone.

    Returns
    -------
    context manager

    Raises
    ------
    ValueError
        If the name is unknown, or the backend is not installed.

    Examples
    --------
    >>> with fastrnn.backend("reference"):
    ...     y, h = gru(x)
    """
    return _using(_installed("backend", name))


def choose(name: str | None = None) -> str:
    """Return the backend's name: the given one, else that of the context."""
    if name is not None:
        return _installed("backend", name)
    if (name := _chosen.get()) not in INSTALLED:
        return _numpy_alone() if name == _DEFAULT else _installed("FASTRNN_BACKEND", name)
    return name


def get(name: str | None = None) -> Backend:
    """Return the backend's module, imported when it is first used."""
    if (module := _loaded.get(_chosen.get() if name is None else name)) is None:
        module = cast(Backend, import_module(_MODULES[name := choose(name)]))
        _loaded[name] = module
    return module


def _installed(what: str, name: str) -> str:
    """Return the name of an installed backend."""
    check.option("fastrnn", what, name, _MODULES)
    if name not in INSTALLED:
        raise ValueError(f"fastrnn: {what} {name!r} is not in this installation: {NO_KERNELS}")
    return name


@cache
def _numpy_alone() -> str:
    """Return the only backend; warn at the first call."""
    warnings.warn(f"fastrnn has no compiled kernels: {NO_KERNELS}", stacklevel=4)
    return "reference"


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
    found: tuple[Found, ...] = ()  # how the caller's arrays in `data` lay


def found(arrays: Mapping[str, Array | None]) -> tuple[Found, ...]:
    """Return how the caller's arrays lie which a backward will use as they are."""
    return tuple(
        (name, array, array.shape, array.strides, array.dtype)
        for name, array in arrays.items()
        if array is not None
    )


def open_stash(layer: str, stash: Any) -> Stash:
    """Return `stash` if it comes from the forward of this layer, and arrays lie as they did then.

    A kernel knows an array by its memory: one reshaped in place would be written past its end.
    """
    if not isinstance(stash, Stash) or stash.layer != layer:
        came = f"that of {stash.layer}" if isinstance(stash, Stash) else type(stash).__name__
        raise ValueError(f"{layer}: stash must be that of a forward of {layer}, got {came}")
    for name, array, shape, strides, dtype in stash.found:
        if array.shape != shape or array.strides != strides or array.dtype != dtype:
            wanted = _layout(shape, strides, dtype)
            came = _layout(array.shape, array.strides, array.dtype)
            raise ValueError(f"{layer}: {name} must lie as in the forward, {wanted}, got {came}")
    return stash


def _layout(shape: tuple[int, ...], strides: tuple[int, ...], dtype: check.DType) -> str:
    return f"{dtype} {shape} with strides {strides}"
