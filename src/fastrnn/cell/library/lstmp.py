"""An LSTM with a projection: h has fewer units than c.

With the gates' sums a_i and so on::

    c' = sigmoid(a_f) * c + sigmoid(a_i) * tanh(a_g)
    h' = (sigmoid(a_o) * tanh(c')) Wp

Sak, Senior and Beaufays, "Long short-term memory recurrent neural network architectures for large
scale acoustic modeling", Interspeech 2014; PyTorch's LSTM with `proj_size`.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import project, sigmoid, tanh


@define(gates="i f g o", states="h c", open_gates="f", title="LSTMP")
def lstmp(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the states after a step."""
    c = sigmoid(a.f) * s.c + sigmoid(a.i) * tanh(a.g)
    return {"h": project(sigmoid(a.o) * tanh(c), "Wp"), "c": c}
