"""An LSTM with layer normalization of each gate's sum and of c, over the hidden units.

With the gates' sums a_i and so on::

    n(v) = (v - mean(v)) / sqrt(var(v) + 1e-5) * gain + bias, with a gain and a bias for each use
    c' = sigmoid(n(a_f)) * c + sigmoid(n(a_i)) * tanh(n(a_g))
    h' = sigmoid(n(a_o)) * tanh(n(c'))

Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016; they normalize the products
with x and with h apart, here their sum is normalized, which needs half the work.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cell.definition import define
from fastrnn.cell.words import layer_norm, sigmoid, tanh

NORMED = ("i", "f", "g", "o", "c")


@define(
    gates="i f g o",
    states="h c",
    weights=[f"{kind}_{name}" for kind in ("gain", "bias") for name in NORMED],
    initial=dict.fromkeys((f"gain_{name}" for name in NORMED), 1.0) | {"bias_f": 1.0},
    title="LayerNormLSTM",
)
def layer_norm_lstm(a: Any, s: Any, w: Any) -> dict[str, Any]:
    """Return the states after a step."""
    i = sigmoid(layer_norm(a.i, w.gain_i, w.bias_i))
    f = sigmoid(layer_norm(a.f, w.gain_f, w.bias_f))
    g = tanh(layer_norm(a.g, w.gain_g, w.bias_g))
    o = sigmoid(layer_norm(a.o, w.gain_o, w.bias_o))
    c = f * s.c + i * g
    return {"h": o * tanh(layer_norm(c, w.gain_c, w.bias_c)), "c": c}
