"""How many edits make one sequence another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check


def edit_distance(
    ours: Sequence[NDArray[np.int64]], theirs: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Count the insertions, deletions and replacements between pairs of sequences (Levenshtein).

    The recurrence of Wagner and Fischer (1974), for all pairs at once. Row i of their table,
    ``d[i, j] = min(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + (ours[i] != theirs[j]))``, refers to
    itself through insertions only: ``d[i, j] = min over k <= j of (e[k] + j - k)`` with e the
    minimum of the two others; so it is a running minimum of ``e[k] - k``.

    Parameters
    ----------
    ours, theirs : sequences of N integer arrays (t,)

    Returns
    -------
    (N,) int64

    Raises
    ------
    ValueError
        The numbers of sequences differ.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"edit_distance: got {len(ours)} sequences and {len(theirs)}")
    a, heights = _stacked("ours", ours)
    b, widths = _stacked("theirs", theirs)
    columns = np.arange(b.shape[1] + 1)
    row = np.tile(columns, (len(a), 1))  # from nothing to j tokens: j insertions
    distances = row[np.arange(len(a)), widths]
    for i in range(a.shape[1]):
        replaced = row[:, :-1] + (a[:, i : i + 1] != b)
        row += 1
        np.minimum(row[:, 1:], replaced, out=row[:, 1:])
        row = np.minimum.accumulate(row - columns, axis=1) + columns
        ended = heights == i + 1
        distances[ended] = row[ended, widths[ended]]
    return distances


def _stacked(
    name: str, sequences: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the sequences as rows (N, T) and their lengths (N,)."""
    rows = [
        check.integers("edit_distance", f"{name}[{i}]", sequence, ("T",), 2**62)
        for i, sequence in enumerate(sequences)
    ]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    stacked = np.zeros((len(rows), lengths.max(initial=0)), dtype=np.int64)
    for line, row in zip(stacked, rows, strict=True):
        line[: len(row)] = row
    return stacked, lengths
