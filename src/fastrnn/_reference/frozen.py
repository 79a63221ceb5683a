"""Stacked cells with weights of few bits: the cells' own formulas, with other matrices in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn._cells import FIRST_RESIDUAL, Cell, Options

from .recurrent import recurrent_forward
from .types import Array, Weights


@dataclass(frozen=True)
class Frozen:
    """The same methods as those of the kernels' packed weights, on checked arguments."""

    cell: Cell
    cells: Sequence[Weights]
    options: Options
    directions: int
    residual: bool

    def forward(
        self, x: Array, state: Any, lengths: Array | None, num_threads: int | None = None
    ) -> tuple[Array, Any]:
        """Run over time: y and the final state."""
        states = state if isinstance(state, tuple) else (state,)
        finals = []
        for first in range(0, len(self.cells), self.directions):
            own = slice(first, first + self.directions)
            y, last, _ = recurrent_forward(
                self.cell,
                x,
                [part[own] for part in states],
                self.cells[own],
                options=self.options,
                reverse=(False, True)[: self.directions],
                lengths=lengths,
                train=False,
            )
            finals.append(last)
            adds = self.residual and first // self.directions >= FIRST_RESIDUAL
            x = y + x if adds else y
        joined = tuple(np.concatenate(parts) for parts in zip(*finals, strict=True))
        return x, joined if isinstance(state, tuple) else joined[0]

    def step(self, x: Array, state: Any, out: None) -> tuple[Array, Any]:
        """Run one time step, x (N, D)."""
        y, state = self.forward(x[:, None], state, None)
        return y[:, 0], state
