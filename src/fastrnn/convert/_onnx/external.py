"""External data of an ONNX file: the numbers of its tensors in other files of its folder.

The onnx package's own reader is not used: by its version it follows links, reads beyond a tensor's
part of the file, or a whole file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from math import prod
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from fastrnn.convert._onnx.graph import DTYPES
from fastrnn.convert._onnx.memory import MOST_AXES

EXTERNAL = 1  # TensorProto.EXTERNAL in onnx.proto3


def is_external(tensor: Any) -> bool:
    """Return whether the numbers of a TensorProto are in another file."""
    return bool(tensor.data_location == EXTERNAL)


def read_all(model: Any, folder: str, max_bytes: int) -> None:
    """Put the external data of a model into it; raise ValueError or OSError if there is a fault.

    Each part must lie within a regular file below the folder that no link leads to, and have the
    size that its tensor has; together they may take `max_bytes`.
    """
    tensors = [tensor for tensor in _constants(model.graph) if is_external(tensor)]
    total = sum(map(_size, tensors))
    if total > max_bytes:
        raise ValueError(f"external data: take {total} bytes, max_bytes is {max_bytes}")
    for tensor in tensors:
        tensor.raw_data = _read(tensor, folder)
        tensor.ClearField("data_location")
        tensor.ClearField("external_data")


def _constants(graph: Any) -> Iterator[Any]:
    """Yield the tensors of a graph."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _size(tensor: Any) -> int:
    """Return the bytes that a tensor's numbers take."""
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None:
        wanted = ", ".join(dtype.name for dtype in DTYPES.values())
        came = f"type {tensor.data_type}"
        raise ValueError(f"external data of {tensor.name!r}: must be {wanted}, got {came}")
    if len(tensor.dims) > MOST_AXES or any(size < 0 for size in tensor.dims):
        raise ValueError(f"external data of {tensor.name!r}: must have the shape of an array")
    return int(prod(tensor.dims)) * dtype.itemsize


def _read(tensor: Any, folder: str) -> bytes:
    """Return the bytes of a tensor."""
    owner, size = f"external data of {tensor.name!r}", _size(tensor)
    given = {entry.key: entry.value for entry in tensor.external_data}
    location = given.get("location", "")
    offset = _number(owner, "offset", given.get("offset", "0"))
    length = _number(owner, "length", given.get("length", str(size)))
    if length != size:
        raise ValueError(f"{owner}: length must be {size}, got {length}")
    with _open(owner, folder, location) as file:
        end = os.fstat(file.fileno()).st_size
        if offset + size > end:
            part = f"bytes {offset} to {offset + size} of {location!r}"
            raise ValueError(f"{owner}: {part}, which has {end}")
        file.seek(offset)
        data: bytes = file.read(size)
    if len(data) != size:
        raise ValueError(f"{owner}: {location!r} became shorter")
    return data


def _number(owner: str, name: str, text: str) -> int:
    """Return a number that is written in digits."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{owner}: {name} must be a number, got {text[:40]!r}")
    return int(text)


def _open(owner: str, folder: str, location: str) -> Any:
    """Open a regular file below the folder for reading, if no link leads to it."""
    parts = PurePosixPath(location).parts
    windows = PureWindowsPath(location)
    absolute = location.startswith("/") or windows.drive or windows.root
    if not parts or absolute or ".." in (*parts, *windows.parts):
        raise ValueError(f"{owner}: must be a file in the model's folder, got {location[:200]!r}")
    path = folder
    for number, part in enumerate(parts, 1):
        path = os.path.join(path, part)
        mode = os.lstat(path).st_mode  # before opening: to open a pipe waits for its writer
        if not (stat.S_ISREG(mode) if number == len(parts) else stat.S_ISDIR(mode)):
            raise ValueError(f"{owner}: {location[:200]!r} must be a file and no link")
    return open(path, "rb", opener=_not_linked)


def _not_linked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))
