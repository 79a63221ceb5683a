"""A GRU, reset after the product, with layer normalization of its sums over the hidden units.

With the gates' sums a_i and so on::

    n(v) = (v - mean(v)) / sqrt(var(v) + 1e-5) * gain + bias, with a gain and a bias for each use
    r = sigmoid(n(a_r)), z = sigmoid(n(a_z))
    h' = (1 - z) * tanh(n(x Wx_n + b_n) + r * n(h Wh_n)) + z * h

Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import layer_norm, sigmoid, tanh

NORMED = ("r", "z", "xn", "hn")


@define(
    gates="r z n",
    weights=[f"{kind}_{name}" for kind in ("gain", "bias") for name in NORMED],
    initial=dict.fromkeys((f"gain_{name}" for name in NORMED), 1.0),
    title="LayerNormGRU",
)
def layer_norm_gru(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the state after a step."""
    r = sigmoid(layer_norm(a.r, w.gain_r, w.bias_r))
    z = sigmoid(layer_norm(a.z, w.gain_z, w.bias_z))
    inner = layer_norm(a.h.n, w.gain_hn, w.bias_hn)
    n = tanh(layer_norm(a.x.n, w.gain_xn, w.bias_xn) + r * inner)
    return {"h": n + z * (s.h - n)}
