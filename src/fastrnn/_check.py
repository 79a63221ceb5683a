"""Argument checks: the only place where they are made.

Each function returns its argument in the form that a backend wants, or raises with one line that
names the layer, the argument, what came and what was wanted.

A wanted shape is a tuple whose entries are an int (that size), a name (any size; zero only where
the name begins with N, S or T, that is for batches and steps) or, in front, ``...`` (any axes).
"""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
DType: TypeAlias = np.dtype[Any]
Rng: TypeAlias = "np.random.Generator | int | None"
Item = TypeVar("Item")
Shape: TypeAlias = tuple["int | str | EllipsisType", ...]

_ARRAY_BYTES = 250  # about what a layer's array takes beside its numbers: object, name, allocation

_FLOAT32, _FLOAT64, _INT64 = (np.dtype(kind) for kind in (np.float32, np.float64, np.int64))


def array(
    layer: str, name: str, value: Any, shape: Shape, dtype: DType, *, contiguous: bool = False
) -> Array:
    """Return `value` in native byte order, copied only if its last axis is not contiguous.

    With `contiguous`, copied if it is not C-contiguous as a whole.
    """
    ready = type(value) is np.ndarray and value.dtype == dtype and value.flags.carray
    came: Array = value if ready else _as_array(layer, name, value)
    if not ready and came.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"{layer}: {name} must be {dtype}, got {_dtype_text(value, came.dtype)}")
    if came.shape != shape and not _fits(came.shape, shape):
        raise ValueError(f"{layer}: {name} must have shape {_text(shape)}, got {came.shape}")
    if ready:
        return came
    whole = contiguous or not _last_axis_contiguous(came)
    return np.require(came, dtype, ["C", "A"] if whole else ["A"])


def weights(
    layer: str, name: str, value: Any, shape: Shape, dtype: DType, *, as_they_lie: bool
) -> Array:
    """Return weights C-contiguous; unless `as_they_lie`, a transposed view stays one."""
    if not as_they_lie and type(value) is np.ndarray and value.dtype == dtype:
        came: Array = value
        if came.flags.fnc and came.flags.aligned and _fits(came.shape, shape):
            return came
    return array(layer, name, value, shape, dtype, contiguous=True)


def array_or_zeros(
    layer: str,
    name: str,
    value: Any,
    shape: tuple[int, ...],
    dtype: DType,
    *,
    contiguous: bool = False,
) -> Array:
    """Return `value` as `array` does, or zeros where it is None."""
    if value is None:
        return np.zeros(shape, dtype)
    return array(layer, name, value, shape, dtype, contiguous=contiguous)


def output(layer: str, name: str, value: Any, shape: tuple[int, ...], dtype: DType) -> Array:
    """Return `value`, an array with a contiguous last axis into which a backend may write."""
    if type(value) is not np.ndarray or value.dtype != dtype or value.shape != shape:
        came = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else repr(value)
        raise ValueError(f"{layer}: {name} must be a {dtype} array of shape {shape}, got {came}")
    if not (value.flags.behaved and _last_axis_contiguous(value)):
        raise ValueError(f"{layer}: {name} must be writeable with a contiguous last axis")
    return value


def in_place(layer: str, name: str, value: Any, shape: tuple[int, ...], dtype: DType) -> Array:
    """Return `value`, an array that a backend may update."""
    if not isinstance(value, np.ndarray):
        came = type(value).__name__
        raise TypeError(f"{layer}: {name} must be an array to be updated in place, got {came}")
    array(layer, name, value, shape, dtype)
    if value.dtype != dtype or not value.flags.carray:
        wanted = "C-contiguous and writeable to be updated in place"
        if not value.dtype.isnative:
            wanted = "in native byte order to be updated in place"
        raise ValueError(f"{layer}: {name} must be {wanted}")
    return np.asarray(value)


def float_dtype(layer: str, name: str, value: Any) -> DType:
    """Return the native dtype of the argument that sets it for all others."""
    came: DType = value.dtype if type(value) is np.ndarray else _as_array(layer, name, value).dtype
    for known in (_FLOAT32, _FLOAT64):
        if came == known or came == known.newbyteorder():
            return known
    raise TypeError(f"{layer}: {name} must be float32 or float64, got {_dtype_text(value, came)}")


def integers(
    layer: str,
    name: str,
    value: Any,
    shape: Shape,
    stop: int | None = None,
    *,
    ignore: int | None = None,
) -> Array:
    """Return a copy of `value`, C-contiguous int64; with `stop`, in 0..stop-1 or `ignore`.

    It is copied before it is checked: another thread may write to the caller's array meanwhile,
    and what reads the copy trusts it.
    """
    came = np.array(_as_array(layer, name, value), order="C")
    empty_list = came.size == 0 and came.dtype == _FLOAT64
    if came.dtype.kind not in "iu" and not empty_list:
        raise TypeError(f"{layer}: {name} must be integers, got {_dtype_text(value, came.dtype)}")
    if not _fits(came.shape, shape):
        raise ValueError(f"{layer}: {name} must have shape {_text(shape)}, got {came.shape}")
    if stop is not None:
        # As unsigned numbers, negative ones are larger than any other.
        whole = came.dtype == _INT64
        wrong = came.view(np.uint64) >= stop if whole else (came < 0) | (came >= stop)
        if ignore is not None:
            wrong &= came != ignore
        if wrong.any():
            also = "" if ignore is None else f" or ignore_index ({ignore})"
            wanted = f"in 0..{stop - 1}{also}, got {came[wrong][0]}"
            raise ValueError(f"{layer}: {name} must be {wanted}")
    return came if came.dtype == _INT64 else came.astype(np.int64)


def sequences(layer: str, name: str, values: Iterable[Any]) -> list[Array]:
    """Return sequences of integers as C-contiguous int64 arrays (T,), T of each its own."""
    return [integers(layer, f"{name}[{i}]", value, ("T",)) for i, value in enumerate(values)]


def padded(rows: Sequence[Array]) -> tuple[Array, Array]:
    """Return int64 arrays (T,) as the rows of one, padded with 0, and their lengths."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return ids, lengths


def lengths(layer: str, value: Any, N: int, T: int, name: str = "lengths") -> Array | None:
    """Return the lengths of N sequences of at most T steps; None stays None."""
    return None if value is None else integers(layer, name, value, (N,), T + 1)


def items(layer: str, name: str, values: Iterable[Item]) -> Sequence[Item]:
    """Return several items that may be iterated again: a sequence as it is, else as a list."""
    if isinstance(values, str):
        raise TypeError(f"{layer}: {name} must be several strings, got one; put it in a list")
    if isinstance(values, Sequence):
        return values
    try:
        return list(values)
    except TypeError:
        raise TypeError(f"{layer}: {name} must be a sequence, got {_shown(values)}") from None


def text(layer: str, name: str, value: Any) -> str:
    """Return a str."""
    if not isinstance(value, str):
        raise TypeError(f"{layer}: {name} must be a str, got {_shown(value)}")
    return value


def batches(layer: str, value: Any) -> Any:
    """Return batches with an order for each epoch, as opposed to an iterator."""
    if not hasattr(value, "epoch"):
        wanted = "an object with `epoch(k)`, such as fastrnn.data.Batches"
        raise TypeError(f"{layer}: batches must be {wanted}, got {type(value).__name__}")
    return value


def integer(layer: str, name: str, value: Any) -> int:
    """Return an integer of 64 bits as an int."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{layer}: {name} must be an integer, got {_shown(value)}") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{layer}: {name} must fit in 64 bits, got {value!r}")
    return number


def size(layer: str, name: str, value: Any, *, least: int = 1) -> int:
    """Return an integer from `least` as an int."""
    number = integer(layer, name, value)
    if number < least:
        raise ValueError(f"{layer}: {name} must be at least {least}, got {value!r}")
    return number


def parameters(layer: str, counts: Iterable[tuple[tuple[int, ...], int]], dtype: DType) -> None:
    """Raise if parameters, given by shapes and how many have them, would not fit in memory."""
    each = dtype.itemsize
    needed = 2 * sum((math.prod(shape) * each + _ARRAY_BYTES) * count for shape, count in counts)
    if needed > (memory := _memory()):
        wanted = f"at most the {memory / 2**30:.3g} GiB of memory"
        came = f"{needed / 2**30:.3g} GiB"
        raise ValueError(f"{layer}: parameters and gradients must take {wanted}, got {came}")


def threads(layer: str, num_threads: Any) -> int | None:
    """Return a number of threads; None stays None."""
    return None if num_threads is None else size(layer, "num_threads", num_threads)


def number(layer: str, name: str, value: Any, wanted: str = "") -> float:
    """Return a real number as a float; with `wanted`, one in that interval."""
    try:
        came = float(operator.pos(value))  # strings have no sign
    except (TypeError, ValueError):
        raise TypeError(f"{layer}: {name} must be a number, got {_shown(value)}") from None
    except OverflowError:
        raise ValueError(f"{layer}: {name} must fit in a float64, got a longer integer") from None
    if wanted and not _INTERVALS[wanted](came):
        raise ValueError(f"{layer}: {name} must be {wanted}, got {value!r}")
    return came


_INTERVALS: dict[str, Callable[[float], bool]] = {
    "at least 0": lambda value: value >= 0,
    "positive": lambda value: value > 0,
    "above 1": lambda value: value > 1,
    "in [0, inf)": lambda value: 0 <= value < math.inf,
    "in [0, 1]": lambda value: 0 <= value <= 1,
    "in [0, 1)": lambda value: 0 <= value < 1,
    "in (0, 1]": lambda value: 0 < value <= 1,
    "in (0, 1)": lambda value: 0 < value < 1,
}
nonnegative = partial(number, wanted="in [0, inf)")
probability = partial(number, wanted="in [0, 1)")
rate = partial(number, wanted="in [0, 1]")
fraction = partial(number, wanted="in (0, 1]")


def mask(layer: str, name: str, value: Any, shape: Shape) -> Array:
    """Return a copy of an array of booleans, C-contiguous."""
    came = np.array(_as_array(layer, name, value), order="C")
    if came.dtype != np.bool_:
        raise TypeError(f"{layer}: {name} must be bool, got {_dtype_text(value, came.dtype)}")
    if not _fits(came.shape, shape):
        raise ValueError(f"{layer}: {name} must have shape {_text(shape)}, got {came.shape}")
    return came


def option(layer: str, name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value`, one of the `known` strings."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{layer}: {name} must be one of {', '.join(known)}, got {_shown(value)}")
    return value


def generator(layer: str, value: Any) -> np.random.Generator:
    """Return `value`, what an operation draws from."""
    if not isinstance(value, np.random.Generator):
        wanted = "a numpy.random.Generator"
        raise TypeError(f"{layer}: rng must be {wanted}, got {_shown(value)}")
    return value


def dtype(layer: str, value: Any) -> DType:
    """Return the dtype of a layer: float32 or float64."""
    with suppress(TypeError):
        came: DType = np.dtype(value)
        if came in (_FLOAT32, _FLOAT64):
            return came
    raise TypeError(f"{layer}: dtype must be float32 or float64, got {_shown(value)}")


def seeded(layer: str, rng: Rng, name: str = "rng") -> np.random.Generator:
    """Return the generator itself, or one seeded by an integer or by the system."""
    if isinstance(rng, np.random.Generator):
        return rng
    try:
        return np.random.default_rng(None if rng is None else operator.index(rng))
    except (TypeError, ValueError):
        wanted = "None, an integer from 0 or a numpy.random.Generator"
        raise ValueError(f"{layer}: {name} must be {wanted}, got {_shown(rng)}") from None


def _as_array(layer: str, name: str, value: Any) -> Array:
    """Convert as NumPy does, with an error that names the argument."""
    kinds = set(map(type, value)) if isinstance(value, (list, tuple)) else {type(value)}
    if any(map(_masked, kinds)):
        raise TypeError(f"{layer}: {name} must be without a mask, got a masked array")
    try:
        return np.asarray(value)
    except ValueError:
        came = f"a ragged {type(value).__name__}"
        raise ValueError(f"{layer}: {name} must be an array, got {came}") from None


def _masked(kind: type) -> bool:
    """Return whether arrays of this class have a mask; `numpy.ma` is imported for few others."""
    if kind is np.ndarray or not issubclass(kind, np.ndarray):
        return False
    return issubclass(kind, np.ma.MaskedArray)


def _last_axis_contiguous(value: Array) -> bool:
    return value.flags.c_contiguous or value.strides[-1:] == (value.itemsize,)


@cache
def _memory() -> float:
    """Return the bytes of memory that the machine has, or that its container may use."""
    found: list[float] = [math.inf]
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of version 2 and 1
        with suppress(ValueError, OSError):  # "max" is none
            found.append(int(Path("/sys/fs/cgroup", limit).read_text()))
    return min(found)


def _fits(shape: tuple[int, ...], wanted: Shape) -> bool:
    """Compare a shape with a wanted one."""
    if wanted and wanted[0] is ...:
        wanted = wanted[1:]
        shape = shape[max(0, len(shape) - len(wanted)) :]
    if len(shape) != len(wanted):
        return False
    for size, want in zip(shape, wanted):  # noqa: B905, in the microseconds of a step
        if size != want and (type(want) is not str or (size == 0 and want[0] not in "NST")):
            return False
    return True


def _dtype_text(value: Any, came: DType) -> str:
    """Write the dtype of what came."""
    return "None" if value is None else str(came)


def _shown(value: Any) -> str:
    """Write what came on one line."""
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}"
    return reprlib.repr(value).replace("\n", " ")


def _text(shape: Shape) -> str:
    """Write a wanted shape as NumPy writes shapes."""
    entries = ["..." if entry is ... else str(entry) for entry in shape]
    return f"({', '.join(entries)}{',' * (len(entries) == 1)})"
