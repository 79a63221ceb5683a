"""The edit distance between sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check


def edit_distance(
    ours: Sequence[NDArray[np.int64]], theirs: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return the edit distances (insertions, deletions, replacements) of pairs of sequences.

    This is the recurrence of Wagner and Fischer (1974) for all pairs at once. In row i of its table
    ``d[i, j] = min(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + (ours[i] != theirs[j]))``, only the
    insertions depend on the row itself: ``d[i, j] = min over k <= j of (e[k] + j - k)``, where e is
    the minimum of the other two terms. So the row is a running minimum of ``e[k] - k``.

    Parameters
    ----------
    ours, theirs : sequences of N integer arrays (t,)

    Returns
    -------
    int64 array (N,)

    Raises
    ------
    ValueError
        If the numbers of sequences differ.
    """
    ours = check.sequences("edit_distance", "ours", ours)
    theirs = check.sequences("edit_distance", "theirs", theirs)
    if len(ours) != len(theirs):
        raise ValueError(f"edit_distance: got {len(ours)} sequences and {len(theirs)}")
    a, heights = check.padded(ours)
    b, widths = check.padded(theirs)
    columns = np.arange(b.shape[1] + 1)
    row = np.tile(columns, (len(a), 1))  # from an empty sequence to j tokens: j insertions
    distances = row[np.arange(len(a)), widths]
    for i in range(a.shape[1]):
        replaced = row[:, :-1] + (a[:, i : i + 1] != b)
        row += 1
        np.minimum(row[:, 1:], replaced, out=row[:, 1:])
        row = np.minimum.accumulate(row - columns, axis=1) + columns
        ended = heights == i + 1
        distances[ended] = row[ended, widths[ended]]
    return distances
