"""Weights whose gates lie as textbooks have them, turned into those that the cells are defined by.

What the textbook's order is, and which gates are the complement of ours, stands in the registry of
cells. As ``1 - sigmoid(a) = sigmoid(-a)``, the columns of a complement are ours negated: textbooks
write the GRU as ``h' = (1 - z) * h + z * n``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._cells import Cell

from .types import Array, Weights


def from_textbook(cell: Cell, weights: Weights) -> Weights:
    """Return a cell's weights, given those of the textbook."""
    return _arranged(cell, weights, cell.order("textbook"), cell.gates)


def to_textbook(cell: Cell, weights: Weights) -> Weights:
    """Invert `from_textbook`, also for gradients."""
    return _arranged(cell, weights, cell.gates, cell.order("textbook"))


def _arranged(cell: Cell, weights: Weights, given: Sequence[str], wanted: Sequence[str]) -> Weights:
    """Return the weights with their columns in another order; bh belongs to one gate alone."""
    negated = cell.complements.get("textbook", ())

    def arranged(array: Any) -> Array:
        parts = dict(zip(given, np.split(array, len(given), axis=-1), strict=True))
        return np.concatenate([-parts[g] if g in negated else parts[g] for g in wanted], axis=-1)

    Wx, Wh, b, *bh = weights
    return (*map(arranged, (Wx, Wh, b)), *bh)
