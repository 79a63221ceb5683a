"""Pairs that are read from their file on request."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, pairwise
from typing import overload

import numpy as np

from fastrnn.data.lines import Pair, Path, decoded, parsed, placed_pairs
from fastrnn.data.subset import Subset

_ROWS_AT_ONCE = 64


class PairFile(Sequence[Pair]):
    """The pairs of a TSV file that may be larger than memory, as a sequence.

    The constructor reads the file once and checks each line as `read_pairs` does. It keeps the
    position of each pair, 8 bytes per pair. A pair is read on each access. Threads may share the
    object.

    If the file is written to, the next access raises an error: by size and time, or by the content
    if only the time changed. If the file is replaced by another of the same name, the old one is
    read to the end.

    Parameters
    ----------
    path : path-like
        See `read_pairs` for the format.

    Attributes
    ----------
    digest : str
        Digest of the pairs, as from `digest_of_pairs`.

    Raises
    ------
    OSError, ValueError
        As for `read_pairs`; also ValueError if the file cannot be read twice, such as a pipe, or
        later if it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 - as long as the object lives
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise ValueError(f"PairFile: path must be a regular file, got {os.fspath(path)}")
        self._seen = self._stamp()
        starts = array("q")
        self.digest = digest_of_pairs(self._index(starts))
        self._starts = np.frombuffer(starts, dtype=np.int64)
        if self._stamp() != self._seen:
            raise self._changed()

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> Subset[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | Subset[Pair]:
        if isinstance(index, slice):
            return Subset(self, np.arange(len(self))[index])
        row = range(len(self))[index]
        return next(self._read(row, row + 1))

    def __iter__(self) -> Iterator[Pair]:
        for start, stop in self._pieces():
            yield from self._read(start, stop)

    def _index(self, starts: array[int]) -> Iterator[Pair]:
        """Yield all pairs; append where each begins, then the end of the file."""
        for position, pair in placed_pairs(self._path, self._file):
            starts.append(position)
            yield pair
        starts.append(self._file.tell())

    def _read(self, start: int, stop: int) -> Iterator[Pair]:
        block = self._block(start, stop)
        if self._stamp() != self._seen:
            self._look_again()
        return self._pairs(start, stop, block)

    def _block(self, start: int, stop: int) -> bytes:
        """Read the bytes of rows start..stop-1."""
        begin, end = int(self._starts[start]), int(self._starts[stop])
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), end - begin, begin)
        with self._lock:  # Windows
            os.lseek(self._file.fileno(), begin, os.SEEK_SET)
            return os.read(self._file.fileno(), end - begin)

    def _pairs(self, start: int, stop: int, block: bytes) -> Iterator[Pair]:
        """Parse rows start..stop-1."""
        starts = self._starts[start : stop + 1].tolist()
        for row, (begin, end) in enumerate(pairwise(starts), start=start):
            # Empty lines may follow the pair.
            line, _, _ = block[begin - starts[0] : end - starts[0]].partition(b"\n")
            number = row + 1 if begin == 0 else row + 2  # a mark is only at the start
            yield parsed(self._path, number, decoded(self._path, number, line))

    def _look_again(self) -> None:
        """Raise if the file has changed in more than its time."""
        now = self._stamp()
        pieces = (self._pairs(*piece, self._block(*piece)) for piece in self._pieces())
        with suppress(ValueError):  # of a line that is no longer a pair
            same_size = now[0] == self._seen[0]
            if same_size and digest_of_pairs(chain.from_iterable(pieces)) == self.digest:
                self._seen = now
                return
        raise self._changed()

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Split the rows into chunks that are read at once."""
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield start, min(start + _ROWS_AT_ONCE, len(self))

    def _stamp(self) -> tuple[int, int]:
        """Return the size and the time of the file, which change when it is written to."""
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns

    def _changed(self) -> ValueError:
        return ValueError(f"{os.fspath(self._path)}: the file has changed since it was first read")


def digest_of_pairs(pairs: Iterable[Pair]) -> str:
    """Return a digest of the pairs and their order, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for source, target in pairs:
        digest.update(f"{source}\t{target}\n".encode())
    return digest.hexdigest()
