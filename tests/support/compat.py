"""Parameters of the textbook's layers."""

from __future__ import annotations

import pytest

from fastrnn._cells import CELLS as ROWS

GATES = {cell.title: len(cell.gates) for cell in ROWS.values()}
STATES = {cell.title: len(cell.states) for cell in ROWS.values()}
CELLS = pytest.mark.parametrize("cell", GATES)


def f4(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def parameters(rng, cell, D, H, dtype="float32"):
    """Wx, Wh and b of one cell."""
    shapes = (D, GATES[cell] * H), (H, GATES[cell] * H), (GATES[cell] * H,)
    return [(rng.standard_normal(shape) / shape[0] ** 0.5).astype(dtype) for shape in shapes]
