"""Hold a part of the examples out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from fastrnn.ops import _check as check

T = TypeVar("T")


def split(items: Sequence[T], fraction: float = 0.1, *, seed: int = 0) -> tuple[list[T], list[T]]:
    """Part the items at random in two lists, each in the original order.

    Parameters
    ----------
    items : sequence
    fraction : float
        The share that is held out, in (0, 1); rounded to whole items.
    seed : int

    Returns
    -------
    rest, held_out : list

    Raises
    ------
    ValueError
        The fraction is out of range or leaves one part empty; the seed is negative.
    """
    fraction = check.number("split", "fraction", fraction)
    if not 0 < fraction < 1:
        raise ValueError(f"split: fraction must be in (0, 1), got {fraction}")
    if check.integer("split", "seed", seed) < 0:
        raise ValueError(f"split: seed must be at least 0, got {seed}")
    count = round(len(items) * fraction)
    if not 0 < count < len(items):
        raise ValueError(f"split: {fraction} of {len(items)} items leaves one part empty")
    out = np.zeros(len(items), dtype=bool)
    out[np.random.default_rng(seed).permutation(len(items))[:count]] = True
    rest = [item for item, held in zip(items, out, strict=True) if not held]
    return rest, [item for item, held in zip(items, out, strict=True) if held]
