"""A lock between processes and threads, which ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HELD = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}
_PAUSE = 0.01  # seconds between two attempts
_WINDOWS = sys.platform == "win32"

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of the file `path`, which is there only for it, while the body runs.

    If another one holds it, wait, or raise BlockingIOError. A killed process leaves the file, but
    not the lock. Where the file system has no locks, the body runs without one.
    """
    while True:
        try:
            file = _acquire(path)
            break
        except BlockingIOError:
            if not wait:
                raise
            time.sleep(_PAUSE)
    try:
        yield
    finally:
        _release(path, file)


def _acquire(path: Path) -> int:
    """Return the open file with its lock; raise BlockingIOError if another one holds it."""
    while True:
        # No link is followed: the name can be foreseen, and the folder may be everybody's.
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            _lock(file)
            if _is_at(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its holder has removed it since it was opened


def _lock(file: int) -> None:
    try:
        _try_lock(file)
    except OSError as error:
        if error.errno in _HELD:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _release(path: Path, file: int) -> None:
    """Remove the file while it is locked: later, it could be another one's already."""
    with suppress(OSError):
        if _WINDOWS:  # which removes no open file, and so none that another one holds
            os.close(file)
        path.unlink()
    if not _WINDOWS:
        os.close(file)
