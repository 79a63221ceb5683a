"""Readers of text files, with the line number in every error message."""

from __future__ import annotations

import os

from fastrnn.data.lines import Pair, Path, decoded, placed_pairs


def read_pairs(path: Path) -> list[Pair]:
    """Read a TSV file of pairs in UTF-8: source, tab and target in each line.

    A third column is ignored: public files of sentence pairs have their attribution there. Empty
    lines are skipped. Spaces at the ends of a side are part of it. The text is normalized to
    Unicode form C.

    Raises
    ------
    OSError
        If the file is missing or not readable.
    ValueError
        If there is no pair; or, with the line number, if a line has no tab or more than two, a
        side with only white space, or bytes that are not UTF-8.
    """
    with open(path, "rb") as file:
        return [pair for _, pair in placed_pairs(path, file)]


def read_text(path: Path) -> str:
    """Read a UTF-8 text file in Unicode normal form C; each line ends with a newline character.

    Raises
    ------
    OSError
        If the file is missing or not readable.
    ValueError
        If there is only white space, or (with the line number) bytes that are not UTF-8.
    """
    with open(path, "rb") as file:
        text = "".join(f"{decoded(path, *line)}\n" for line in enumerate(file, start=1))
    if not text.strip():
        raise ValueError(f"{os.fspath(path)}: no text in the file")
    return text
