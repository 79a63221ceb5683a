"""An LSTM that forgets as much as it takes in: ``f = 1 - i``.

With the gates' sums a_i and so on::

    c' = (1 - i) * c + i * tanh(a_g)
    h' = sigmoid(a_o) * tanh(c')

Greff et al., "LSTM: a search space odyssey", IEEE Transactions on Neural Networks and Learning
Systems 28, 2017 (CIFG); ONNX's LSTM with `input_forget`.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import sigmoid, tanh


@define(gates="i g o", states="h c", title="CoupledLSTM")
def coupled_lstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the states after a step."""
    c = s.c + sigmoid(a.i) * (tanh(a.g) - s.c)
    return {"h": sigmoid(a.o) * tanh(c), "c": c}
