"""Random splits of the examples into training and validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check

Rows = NDArray[np.int64]
T = TypeVar("T")


def split(items: Sequence[T], fraction: float = 0.1, *, seed: int = 0) -> tuple[list[T], list[T]]:
    """Split the items at random into two lists, each in the original order.

    Parameters
    ----------
    items : sequence
    fraction : float
        Fraction that is held out, in (0, 1); rounded to whole items.
    seed : int

    Returns
    -------
    rest, held_out : list

    Raises
    ------
    ValueError
        If the fraction is out of range or leaves one part empty, or the seed is negative.
    """
    items = check.items("split", "items", items)
    rows = split_rows(len(items), fraction, seed=seed)
    rest, held_out = ([items[row] for row in part.tolist()] for part in rows)
    return rest, held_out


def split_rows(count: int, fraction: float = 0.1, *, seed: int = 0) -> tuple[Rows, Rows]:
    """Split the rows 0..count-1 as `split` splits items, for sequences that are not copied.

    Returns
    -------
    rest, held_out : int64 array
        In ascending order.
    """
    fraction = check.number("split", "fraction", fraction, "in (0, 1)")
    check.size("split", "seed", seed, least=0)
    held = round(count * fraction)
    if not 0 < held < count:
        raise ValueError(f"split: {fraction} of {count} items leaves one part empty")
    out = np.zeros(count, dtype=bool)
    out[np.random.default_rng(seed).permutation(count)[:held]] = True
    return np.flatnonzero(~out), np.flatnonzero(out)
