"""One line of a text file: from bytes to text in a normal form, and from text to a pair."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator

Path = str | os.PathLike[str]
Pair = tuple[str, str]


def normalized(text: str) -> str:
    """Give the text in Unicode's normal form C, so that what looks the same is the same.

    Hangul typed as single letters, or an accent typed after its letter, becomes one character.

    Raises
    ------
    TypeError
        Not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    return unicodedata.normalize("NFC", text)


def decoded_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file as `decoded` gives them."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            yield decoded(path, number, line)


def decoded(path: Path, number: int, line: bytes) -> str:
    """Decode line `number` (from 1) without its end, normalized; a byte order mark is dropped.

    Raises
    ------
    ValueError
        Bytes that are not UTF-8.
    """
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(f"{place(path, number)}: byte 0x{byte:02x} is not UTF-8 text") from error
    return normalized(text.removesuffix("\n").removesuffix("\r"))


def parsed(path: Path, number: int, line: str) -> Pair:
    """Part a line at its tabs: source, target, and perhaps a third column, which is ignored.

    Raises
    ------
    ValueError
        Another number of columns, or a side with nothing but white space.
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
    """Say where in a file something is."""
    return f"{os.fspath(path)}, line {number}"
