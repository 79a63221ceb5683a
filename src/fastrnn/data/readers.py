"""Text files, with the line number in every complaint."""

from __future__ import annotations

import os
from collections.abc import Iterator


def read_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Read a TSV file of pairs: source, tab, target; UTF-8; one pair a line.

    Empty lines are skipped. Spaces at the ends of a side belong to it.

    Raises
    ------
    OSError
        The file is missing or not readable.
    ValueError
        No pair at all; or, with the line number: no tab, more than one tab, a side with nothing
        but white space, bytes that are not UTF-8.
    """
    pairs = []
    for number, line in enumerate(_lines(path), start=1):
        if not line:
            continue
        sides = line.split("\t")
        if len(sides) != 2:
            found = "no tab" if len(sides) == 1 else f"{len(sides) - 1} tabs"
            raise ValueError(f"{_place(path, number)}: {found}, want: source, one tab, target")
        for name, side in zip(("source", "target"), sides, strict=True):
            if not side.strip():
                raise ValueError(f"{_place(path, number)}: the {name} is empty")
        pairs.append((sides[0], sides[1]))
    if not pairs:
        raise ValueError(f"{os.fspath(path)}: no pairs in the file")
    return pairs


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a UTF-8 text file; line ends become a newline character each.

    Raises
    ------
    OSError
        The file is missing or not readable.
    ValueError
        Nothing but white space; bytes that are not UTF-8 (with the line number).
    """
    text = "".join(f"{line}\n" for line in _lines(path))
    if not text.strip():
        raise ValueError(f"{os.fspath(path)}: no text in the file")
    return text


def _lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the lines without their ends; a byte order mark is dropped."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = line[error.start]
                raise ValueError(
                    f"{_place(path, number)}: byte 0x{byte:02x} is not UTF-8 text"
                ) from error
            yield text.removesuffix("\n").removesuffix("\r")


def _place(path: str | os.PathLike[str], line: int) -> str:
    return f"{os.fspath(path)}, line {line}"
