"""An LSTM with zoneout: in training a unit of h or c keeps what it was, at random.

::

    c' = c with probability `zoneout_c`, else the LSTM's
    h' = h with probability `zoneout_h`, else the LSTM's

for each sequence, step and unit; in evaluation each is its expectation.

Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR 2017;
the defaults are theirs for language models of characters.
"""

from __future__ import annotations

from typing import Any

from fastrnn._cells import Cell
from fastrnn.cell.definition import define
from fastrnn.cell.words import keep, sigmoid, tanh


def zoneout_lstm(zoneout_h: float = 0.05, zoneout_c: float = 0.5) -> Cell:
    """Return the cell with these rates, each in [0, 1]."""

    @define(gates="i f g o", states="h c", open_gates="f", title="ZoneoutLSTM")
    def zoneout_lstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
        c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
        h = sigmoid(a.o) * tanh(c)
        return {
            "h": s.h + keep(h - s.h, 1 - zoneout_h),
            "c": s.c + keep(c - s.c, 1 - zoneout_c),
        }

    return zoneout_lstm
