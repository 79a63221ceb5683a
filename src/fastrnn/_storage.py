"""Arrays and text in a safetensors file, written atomically and checked on reading."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARKER = "fastrnn"
_VERSION = "1"


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write arrays of any strides and byte order as `write_bytes` writes bytes.

    The same arrays and metadata give the same bytes.
    """
    from safetensors.numpy import save

    native = {  # and C-contiguous, because safetensors copies the bytes
        key: np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        for key, array in arrays.items()
    }
    write_bytes(path, _ordered(save(native, {**metadata, _MARKER: _VERSION})))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of any format; after an error an existing file is unchanged.

    A link is followed. The message of an OSError names `path`: the disk is full, the folder is
    missing or not writable, or `path` is not a file.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".fastrnn-{os.urandom(8).hex()}.tmp")
    try:
        require_replaceable(target)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with suppress(OSError):  # absent after the replacement; else the error above says more
            temporary.unlink()


def require_replaceable(target: Path) -> None:
    """Raise OSError if the path exists but is not a file, such as a folder or a device.

    A rename would replace ``/dev/null`` by a file.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Not a regular file")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of a file written by `write`; else raise ValueError."""
    name = os.fspath(path)
    with _opened(path) as tensors:
        metadata = dict(tensors.metadata() or {})
        version = metadata.pop(_MARKER, None)
        if version is None:
            raise ValueError(f"{name}: a safetensors file, but not one written by fastrnn")
        if version != _VERSION:
            raise ValueError(f"{name}: file format {version}, this fastrnn reads {_VERSION}")
        return {key: tensors.get_tensor(key) for key in tensors.keys()}, metadata  # noqa: SIM118


def read_any(path: str | os.PathLike[str], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with `prefix` from any safetensors file.

    Raise TypeError if NumPy does not have the dtype of one.
    """
    arrays = {}
    with _opened(path) as tensors:
        for key in tensors.keys():  # noqa: SIM118
            if key.startswith(prefix):
                try:
                    arrays[key] = tensors.get_tensor(key)
                except (TypeError, AttributeError) as error:
                    dtype = tensors.get_slice(key).get_dtype()
                    message = f"{os.fspath(path)}: {key} has the dtype {dtype}, which NumPy has not"
                    raise TypeError(message) from error
    return arrays


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Open a safetensors file; errors are one line that begins with the path."""
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    with open(path, "rb") as file:  # the usual OSErrors, which safetensors words differently
        if not file.read(1):
            raise ValueError(f"{name}: the file is empty")
    try:
        with safe_open(name, framework="numpy") as tensors:
            yield tensors
    except SafetensorError as error:
        raise ValueError(f"{name}: truncated or not a safetensors file ({error})") from error


def _ordered(data: bytes) -> bytes:
    """Sort the metadata in the header, which safetensors writes in any order."""
    import json

    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, memoryview(data)[end:]])
