"""Text files, with the line number in every complaint."""

from __future__ import annotations

import os

from fastrnn.data.lines import Pair, Path, decoded_lines, parsed


def read_pairs(path: Path) -> list[Pair]:
    """Read a TSV file of pairs: source, tab, target; UTF-8; one pair a line.

    A third column is ignored: public files of sentence pairs have their attribution there. Empty
    lines are skipped. Spaces at the ends of a side belong to it. The text comes in Unicode's
    normal form C.

    Raises
    ------
    OSError
        The file is missing or not readable.
    ValueError
        No pair at all; or, with the line number: no tab, more than two tabs, a side with nothing
        but white space, bytes that are not UTF-8.
    """
    pairs = [
        parsed(path, number, line)
        for number, line in enumerate(decoded_lines(path), start=1)
        if line
    ]
    if not pairs:
        raise ValueError(f"{os.fspath(path)}: no pairs in the file")
    return pairs


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, in Unicode's normal form C; each line ends with a newline character.

    Raises
    ------
    OSError
        The file is missing or not readable.
    ValueError
        Nothing but white space; bytes that are not UTF-8 (with the line number).
    """
    text = "".join(f"{line}\n" for line in decoded_lines(path))
    if not text.strip():
        raise ValueError(f"{os.fspath(path)}: no text in the file")
    return text
