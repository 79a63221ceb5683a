"""The sLSTM of xLSTM: exponential gates, a normalizer n, and a stabilizer m of both.

With the gates' sums a_i and so on::

    m' = max(log(sigmoid(a_f)) + m, a_i)
    f = exp(log(sigmoid(a_f)) + m - m'), i = exp(a_i - m')
    c' = f * c + i * tanh(a_z)
    n' = f * n + i
    h' = sigmoid(a_o) * c' / n'

Beck et al., "xLSTM: extended long short-term memory", NeurIPS 2024. One head: Wh is dense.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import exp, maximum, sigmoid, softplus, tanh

LEAST = 1e-30  # n is 0 after a first step whose input gate underflows; c is then 0, too


@define(gates="z i f o", states="h c n m", open_gates="f", title="SLSTM")
def slstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the states after a step."""
    log_f = -softplus(-a.f)
    m = maximum(log_f + s.m, a.i)
    f, i = exp(log_f + s.m - m), exp(a.i - m)
    c = f * s.c + i * tanh(a.z)
    n = f * s.n + i
    return {"h": sigmoid(a.o) * c / maximum(n, LEAST), "c": c, "n": n, "m": m}
