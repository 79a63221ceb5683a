"""The minimal gated unit: a GRU with one gate.

With the gates' sums a_i and so on::

    f = sigmoid(a_f)
    h' = (1 - f) * h + f * tanh(x Wx_n + b_n + (f * h) Un)

Zhou et al., "Minimal gated unit for recurrent neural networks", International Journal of
Automation and Computing 13, 2016.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import matmul, sigmoid, tanh


@define(gates="f n", title="MinimalGRU")
def minimal_gru(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the state after a step."""
    f = sigmoid(a.f)
    n = tanh(a.x.n + matmul(f * s.h, "Un"))
    return {"h": s.h + f * (n - s.h)}
