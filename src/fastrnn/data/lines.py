"""Lines of text files: bytes to normalized text, and text to a pair."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

Path = str | os.PathLike[str]
Pair = tuple[str, str]


def normalized(text: str) -> str:
    """Return the text in Unicode normal form C, in which equal looking texts are equal.

    Hangul typed as single letters, or a letter and its accent, becomes one character.

    Raises
    ------
    TypeError
        If `text` is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    return unicodedata.normalize("NFC", text)


def placed_pairs(path: Path, file: BinaryIO) -> Iterator[tuple[int, Pair]]:
    """Yield the pairs of an open file, each with the position at which its line begins.

    Raises
    ------
    ValueError
        As `decoded` and `parsed`, and if there are no pairs.
    """
    position, found = 0, False
    for number, line in enumerate(file, start=1):
        if text := decoded(path, number, line):
            found = True
            yield position, parsed(path, number, text)
        position += len(line)
    if not found:
        raise ValueError(f"{os.fspath(path)}: no pairs in the file")


def decoded(path: Path, number: int, line: bytes) -> str:
    """Return line `number` (from 1) decoded and normalized, without line end and byte order mark.

    Raises
    ------
    ValueError
        If the bytes are not UTF-8.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(f"{place(path, number)}: byte 0x{byte:02x} is not UTF-8 text") from error
    return normalized(text.removesuffix("\n").removesuffix("\r"))


def parsed(path: Path, number: int, line: str) -> Pair:
    """Split a line at its tabs into source and target; a third column is ignored.

    Raises
    ------
    ValueError
        If the number of columns is wrong, or a side has only white space.
    """
    columns = line.split("\t")
    if not 2 <= len(columns) <= 3:
        found = "no tab" if len(columns) == 1 else f"{len(columns) - 1} tabs"
        wanted = "source, tab, target, and at most one more column"
        raise ValueError(f"{place(path, number)}: {found}, want: {wanted}")
    source, target = columns[:2]
    for name, side in (("source", source), ("target", target)):
        if not side.strip():
            raise ValueError(f"{place(path, number)}: the {name} is empty")
    return source, target


def place(path: Path, number: int) -> str:
    """Return a file and line number as the start of a message."""
    return f"{os.fspath(path)}, line {number}"
