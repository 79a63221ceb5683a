"""Reading of safetensors files: each array into memory of its own; nothing is mapped.

A mapped file that another process truncates ends the process with a bus error.
"""

from __future__ import annotations

import json
import math
import os
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "U8": "u1",
        "I8": "i1",
        "U16": "<u2",
        "I16": "<i2",
        "U32": "<u4",
        "I32": "<i4",
        "U64": "<u8",
        "I64": "<i8",
        "F16": "<f2",
        "F32": "<f4",
        "F64": "<f8",
        "C64": "<c8",
    }.items()
}
_LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library
_MOST_AXES = 64  # of an array of NumPy


class DamagedError(ValueError):
    """The file is truncated or not a safetensors file."""


class Tensor(NamedTuple):
    """The place of one array in a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int  # in bytes


class Header(NamedTuple):
    """The header of a file: all of it, its texts, and the arrays in the order of their bytes."""

    entries: dict[str, Any]
    metadata: dict[str, str]
    tensors: list[Tensor]


def read_header(file: BufferedReader) -> Header:
    """Return the header of a file that is at its beginning; raise DamagedError."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not length <= min(size - 8, _LONGEST_HEADER):
        raise DamagedError(f"a header of {length} bytes in a file of {size}")
    try:
        entries = json.loads(file.read(length).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedError("its header is not JSON") from error
    if not isinstance(entries, dict):
        raise DamagedError("its header is not a JSON object")
    metadata = entries.get("__metadata__")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise DamagedError("its metadata is not text")
    return Header(entries, metadata, _tensors(entries, size - 8 - length))


def read_array(file: BufferedReader, tensor: Tensor) -> NDArray[Any]:
    """Return the array at the file's position; raise TypeError if NumPy does not have its dtype."""
    if tensor.dtype not in _DTYPES:
        raise TypeError(tensor.dtype)
    dtype = _DTYPES[tensor.dtype]
    try:
        array = np.empty(tensor.shape, dtype)
    except ValueError as error:  # without entries, but with more axes or a longer one than allowed
        raise DamagedError("an array of a shape that NumPy has not") from error
    _fill(file, array.reshape(-1).view(np.uint8))
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_bytes(file: BufferedReader, tensor: Tensor) -> NDArray[np.uint8]:
    """Return the bytes of the array at the file's position."""
    array = np.empty(tensor.size, np.uint8)
    _fill(file, array)
    return array


def _fill(file: BufferedReader, array: NDArray[np.uint8]) -> None:
    if file.readinto(array.data) != array.size:
        raise DamagedError("it was truncated while it was read")


def _tensors(entries: dict[str, Any], size: int) -> list[Tensor]:
    """Return the arrays in the order of their bytes, which must fill `size` bytes without gaps."""
    places = []
    for name, entry in entries.items():
        if name != "__metadata__":
            places.append((*_offsets(entry), _tensor(name, entry)))
    end = 0
    for first, last, tensor in sorted(places):
        if first != end or last - first != tensor.size:
            raise DamagedError("the places of its arrays do not fit")
        end = last
    if end != size:
        raise DamagedError(f"its arrays have {end} bytes, and there are {size}")
    return [tensor for *_, tensor in sorted(places)]


def _offsets(entry: Any) -> tuple[int, int]:
    """Return where the bytes of an array begin and end."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise DamagedError("an array that is not described")
    offsets = entry["data_offsets"]
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DamagedError("an array without a place")
    return offsets[0], offsets[1]


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or not _are_sizes(shape):
        raise DamagedError("an array without a dtype or a shape")
    first, last = entry["data_offsets"]
    size = math.prod(shape) * _DTYPES[dtype].itemsize if dtype in _DTYPES else last - first
    return Tensor(name, dtype, tuple(shape), size)


def _are_sizes(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > _MOST_AXES:
        return False
    return all(type(n) is int and 0 <= n < 2**63 for n in value)
