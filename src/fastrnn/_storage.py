"""Arrays and text in a safetensors file with a digest, written atomically, checked on reading."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _lock, _safetensors
from fastrnn._printable import printable

_MARKER = "fastrnn"
_VERSION = "2"
_WITHOUT_DIGEST = "1"
_DIGEST = "blake2b"


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
    write_bytes(path, _sealed(save(native, {**metadata, _MARKER: _VERSION})))


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of any format; after an error an existing file is unchanged.

    A link is followed. Writers of one file wait for each other. The message of an OSError names
    `path`: the disk is full, the folder is missing or not writable, or `path` is not a file.
    """
    with naming(path):
        target = resolved(path)
        require_replaceable(target)
        with _lock.held(_beside(target, "lock"), wait=True):
            _replace(target, data)


def require_replaceable(target: Path) -> None:
    """Raise OSError if the path exists but is not a file, such as a folder or a device.

    A rename would replace ``/dev/null`` by a file.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "Not a regular file")


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return the path of the file that a path leads to; raise OSError if links lead nowhere."""
    with suppress(RuntimeError):  # of Python before 3.13 at a loop of links
        target = Path(path).resolve()
        if not target.is_symlink():
            return target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an OSError name the path that the caller gave."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def reserved(path: str | os.PathLike[str]) -> Iterator[None]:
    """Reserve a file that a run will write, while the body runs.

    Raises
    ------
    BlockingIOError
        If another process has reserved it.
    """
    with ExitStack() as stack:
        with naming(path):
            try:
                stack.enter_context(_lock.held(_beside(resolved(path), "run"), wait=False))
            except BlockingIOError as error:
                raise OSError(errno.EAGAIN, "another run is writing this file") from error
        yield


def _beside(target: Path, purpose: str) -> Path:
    """Return the name of a file beside the target, always the same, so that none is left over."""
    name = hashlib.blake2b(os.fsencode(target.name), digest_size=8).hexdigest()
    return target.with_name(f".fastrnn-{name}.{purpose}")


def _replace(target: Path, data: bytes) -> None:
    """Write a temporary file and rename it."""
    temporary = _beside(target, "tmp")
    with suppress(FileNotFoundError):
        temporary.unlink()  # that of a process which was killed
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        with suppress(OSError):  # absent after the replacement; else the error above says more
            temporary.unlink()
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the renaming survive a loss of power, where the system can sync a folder."""
    with suppress(OSError):  # the file is in its place either way
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of a file written by `write`; else raise ValueError.

    A file from before there were digests is read with a warning.
    """
    name = os.fspath(path)
    with _opened(path) as (file, header):
        metadata = dict(header.metadata)
        version, digest = metadata.pop(_MARKER, None), metadata.pop(_DIGEST, None)
        if version is None:
            raise ValueError(f"{name}: a safetensors file, but not one written by fastrnn")
        if version not in (_WITHOUT_DIGEST, _VERSION):
            came = f"file format {printable(version)}"
            raise ValueError(f"{name}: {came}, this fastrnn reads up to {_VERSION}")
        if version == _VERSION and digest is None:
            raise ValueError(f"{name}: damaged: it has no digest")
        try:
            arrays = _arrays(name, file, header)
        except TypeError as error:  # no such dtype is ever written
            raise ValueError(str(error)) from error
    if digest is None:
        text = "of an earlier fastrnn, without a digest: damage would go unnoticed"
        warnings.warn(f"{name}: {text}; saving it again adds one", stacklevel=2)
    return arrays, metadata


def read_any(path: str | os.PathLike[str], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with `prefix` from any safetensors file.

    Raise TypeError if NumPy does not have the dtype of one.
    """
    with _opened(path) as (file, header):
        return _arrays(os.fspath(path), file, header, prefix)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BufferedReader, _safetensors.Header]]:
    """Open a safetensors file; errors are one line that begins with the path."""
    name = os.fspath(path)
    with naming(path), open(path, "rb") as file:
        if not file.peek(1):
            raise ValueError(f"{name}: the file is empty")
        try:
            yield file, _safetensors.read_header(file)
        except _safetensors.DamagedError as error:
            raise ValueError(f"{name}: truncated or not a safetensors file ({error})") from error


def _arrays(
    name: str, file: BufferedReader, header: _safetensors.Header, prefix: str = ""
) -> dict[str, NDArray[Any]]:
    """Read the arrays whose names begin with `prefix`, and all bytes if there is a digest."""
    wanted = header.metadata.get(_DIGEST) if _MARKER in header.metadata else None
    digest = None if wanted is None else _begun_digest(header.entries)
    arrays = {}
    for tensor in header.tensors:
        if tensor.name.startswith(prefix):
            try:
                came = arrays[tensor.name] = _safetensors.read_array(file, tensor)
            except TypeError as error:
                what = f"{printable(tensor.name)} has the dtype {printable(tensor.dtype)}"
                raise TypeError(f"{name}: {what}, which NumPy has not") from error
        elif digest is None:
            file.seek(tensor.size, os.SEEK_CUR)
            continue
        else:
            came = _safetensors.read_bytes(file, tensor)
        if digest is not None:
            digest.update(came.reshape(-1).view(np.uint8).data)
    if digest is not None and digest.hexdigest() != wanted:
        raise ValueError(f"{name}: damaged: its contents do not have the digest that it names")
    return arrays


def _begun_digest(header: Mapping[str, Any]) -> hashlib.blake2b:
    """Return the digest of a header without its entry of the digest; the arrays' bytes follow."""
    import json

    metadata = {key: text for key, text in header["__metadata__"].items() if key != _DIGEST}
    text = json.dumps({**header, "__metadata__": metadata}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=32)


def _sealed(data: bytes) -> bytes:
    """Add the digest to a file; sort its metadata, which safetensors writes in any order."""
    import json

    end = 8 + int.from_bytes(data[:8], "little")
    header, arrays = json.loads(data[8:end]), memoryview(data)[end:]
    digest = _begun_digest(header)
    digest.update(arrays)
    metadata = {**header["__metadata__"], _DIGEST: digest.hexdigest()}
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, arrays])
