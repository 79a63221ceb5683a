"""An LSTM whose gates see the cell's content, each unit its own.

With the gates' sums a_i and so on::

    i = sigmoid(a_i + p_i * c), and so f
    c' = f * c + i * tanh(a_g)
    o = sigmoid(a_o + p_o * c')
    h' = o * tanh(c')

Gers, Schraudolph and Schmidhuber, "Learning precise timing with LSTM recurrent networks", Journal
of Machine Learning Research 3, 2002.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import sigmoid, tanh


@define(
    gates="i f g o",
    states="h c",
    weights="p_i p_f p_o",
    open_gates="f",
    title="PeepholeLSTM",
)
def peephole_lstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the states after a step."""
    c = sigmoid(a.f + w.p_f * s.c) * s.c + sigmoid(a.i + w.p_i * s.c) * tanh(a.g)
    return {"h": sigmoid(a.o + w.p_o * c) * tanh(c), "c": c}
