"""Arrays and text in a safetensors file with a digest, written atomically, checked on reading."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn import _lock
from fastrnn._printable import printable

_MARKER = "fastrnn"
_VERSION = "2"
_WITHOUT_DIGEST = "1"
_DIGEST = "blake2b"
_METADATA = "__metadata__"
_DTYPES = {"BOOL": np.dtype("?")} | {
    f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}")
    for kind, sizes in {"I": (1, 2, 4, 8), "U": (1, 2, 4, 8), "F": (2, 4, 8), "C": (8,)}.items()
    for size in sizes
}

Tensor: TypeAlias = tuple[str, dict[str, Any]]  # a name, and dtype, shape and data


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

    What a killed writer of the file has left beside it is removed.

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
            _remove_leftovers(resolved(path))
        yield


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary file and the lock of a writer that is no more; wait for one that is."""
    lock, temporary = _beside(target, "lock"), _beside(target, "tmp")
    if lock.exists() or temporary.exists():
        with _lock.held(lock, wait=True), suppress(FileNotFoundError):
            temporary.unlink()


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
    header, tensors = _contents(path)
    metadata = header.get(_METADATA) or {}
    version, digest = metadata.get(_MARKER), metadata.get(_DIGEST)
    if version is None:
        raise ValueError(f"{name}: a safetensors file, but not one written by fastrnn")
    if version not in (_WITHOUT_DIGEST, _VERSION):
        came = f"file format {printable(version)}"
        raise ValueError(f"{name}: {came}, this fastrnn reads up to {_VERSION}")
    if digest is not None:
        _check_digest(name, header, tensors)
    elif version == _VERSION:
        raise ValueError(f"{name}: damaged: it has no digest")
    else:
        text = "of an earlier fastrnn, without a digest: damage would go unnoticed"
        warnings.warn(f"{name}: {text}; saving it again adds one", stacklevel=2)
    try:
        arrays = _arrays(name, tensors)
    except TypeError as error:  # no such dtype is ever written
        raise ValueError(str(error)) from error
    return arrays, {key: text for key, text in metadata.items() if key not in (_MARKER, _DIGEST)}


def read_any(path: str | os.PathLike[str], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Return the arrays whose names begin with `prefix` from any safetensors file.

    Raise TypeError if NumPy does not have the dtype of one.
    """
    name = os.fspath(path)
    header, tensors = _contents(path)
    metadata = header.get(_METADATA) or {}
    if _MARKER in metadata and _DIGEST in metadata:
        _check_digest(name, header, tensors)
    return _arrays(name, [tensor for tensor in tensors if tensor[0].startswith(prefix)])


def _contents(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Tensor]]:
    """Return the header of a safetensors file and its tensors in the order of their bytes.

    The file is read, not mapped: a mapped one that is truncated meanwhile ends the process.
    """
    import json

    from safetensors import SafetensorError, deserialize

    name = os.fspath(path)
    with naming(path):
        data = Path(path).read_bytes()
    if not data:
        raise ValueError(f"{name}: the file is empty")
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        wanted = "truncated or not a safetensors file"
        raise ValueError(f"{name}: {wanted} ({printable(error)})") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    places = {key: tensor["data_offsets"] for key, tensor in header.items() if key != _METADATA}
    return header, sorted(tensors, key=lambda tensor: places[tensor[0]])


def _arrays(name: str, tensors: list[Tensor]) -> dict[str, NDArray[Any]]:
    """Return the arrays on the memory of the tensors."""
    arrays = {}
    for key, tensor in tensors:
        dtype = _DTYPES.get(tensor["dtype"])
        if dtype is None:
            what = f"{printable(key)} has the dtype {printable(tensor['dtype'])}"
            raise TypeError(f"{name}: {what}, which NumPy has not")
        try:
            array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
        except ValueError as error:  # nothing, but along too many or too long axes
            shape = f"{printable(key)} has a shape that NumPy has not"
            raise ValueError(f"{name}: {shape}") from error
        arrays[key] = array.astype(dtype.newbyteorder("="), copy=False)
    return arrays


def _check_digest(name: str, header: Mapping[str, Any], tensors: list[Tensor]) -> None:
    digest = _begun_digest(header)
    for _, tensor in tensors:
        digest.update(tensor["data"])
    if digest.hexdigest() != header[_METADATA][_DIGEST]:
        raise ValueError(f"{name}: damaged: its contents do not have the digest that it names")


def _begun_digest(header: Mapping[str, Any]) -> hashlib.blake2b:
    """Return the digest of a header without its entry of the digest; the arrays' bytes follow."""
    import json

    metadata = {key: text for key, text in header[_METADATA].items() if key != _DIGEST}
    text = json.dumps({**header, _METADATA: metadata}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=32)


def _sealed(data: bytes) -> bytes:
    """Add the digest to a file; sort its metadata, which safetensors writes in any order."""
    import json

    end = 8 + int.from_bytes(data[:8], "little")
    header, arrays = json.loads(data[8:end]), memoryview(data)[end:]
    digest = _begun_digest(header)
    digest.update(arrays)
    metadata = {**header[_METADATA], _DIGEST: digest.hexdigest()}
    header[_METADATA] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8
    return b"".join([len(text).to_bytes(8, "little"), text, arrays])
