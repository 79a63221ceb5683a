"""The independently recurrent network: each unit sees its own past only.

::

    h' = relu(x Wx_n + b_n + u * h)

Li et al., "Independently recurrent neural network (IndRNN): building a longer and deeper RNN",
CVPR 2018. u is 1 at first; its magnitude should stay below about ``2**(1/T)`` for T steps.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import relu


@define(gates="n", weights="u", initial={"u": 1.0}, title="IndRNN")
def indrnn(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the state after a step."""
    return {"h": relu(a.x.n + w.u * s.h)}
