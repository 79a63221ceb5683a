"""Dot-product attention for one query or for a sequence of queries."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import ops
from fastrnn._check import Array
from fastrnn.compat._layer import Layer


class WeightSum(Layer):
    """The weighted sum of vectors over time."""

    def forward(self, hs: Any, a: Any) -> Array:
        """Return the sum (N, H) of hs (N, T, H) over time with the weights a (N, T)."""
        hs = self._float32("hs", hs, ("N", "T", "H"))
        a = self._float32("a", a, hs.shape[:2])
        self.cache = hs, a
        c: Array = np.matmul(a[:, None], hs)[:, 0]
        return c

    def backward(self, dc: Any) -> tuple[Array, Array]:
        """Return the gradients of hs and a from that of the sum."""
        hs, a = self._recorded()
        dc = self._float32("dc", dc, (hs.shape[0], hs.shape[2]))
        return a[:, :, None] * dc[:, None], np.matmul(hs, dc[:, :, None])[:, :, 0]


class AttentionWeight(Layer):
    """Attention weights: the softmax over time of dot products."""

    def forward(self, hs: Any, h: Any) -> Array:
        """Return the attention weights (N, T) of the query h (N, H) over hs (N, T, H)."""
        hs = self._float32("hs", hs, ("N", "T", "H"))
        h = self._float32("h", h, (hs.shape[0], hs.shape[2]))
        # The context is not used, so the values have one column, the minimum.
        _, weights, self.cache = ops.attention_forward(h[:, None], hs, hs[:, :, :1])
        return weights[:, 0]

    def backward(self, da: Any) -> tuple[Array, Array]:
        """Return the gradients of hs and h from that of the weights."""
        stash = self._recorded()
        N, _, T = stash.shapes[1]
        da = self._float32("da", da, (N, T))
        dh, dhs, _, _ = ops.attention_backward(None, da[:, None], stash)
        return dhs, dh[:, 0]


class Attention(Layer):
    """Dot-product attention: the context of one query.

    Attributes
    ----------
    attention_weight : array (N, T) or None
        Attention weights of the last forward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention_weight: Array | None = None

    def forward(self, hs: Any, h: Any) -> Array:
        """Return the context (N, H) of the query h (N, H) over hs (N, T, H)."""
        hs = self._float32("hs", hs, ("N", "T", "H"))
        h = self._float32("h", h, (hs.shape[0], hs.shape[2]))
        out, weights, self.cache = ops.attention_forward(h[:, None], hs, hs)
        self.attention_weight = weights[:, 0]
        return out[:, 0]

    def backward(self, dout: Any) -> tuple[Array, Array]:
        """Return the gradients of hs and h from that of the context."""
        stash = self._recorded()
        N, _, H = stash.shapes[0]
        dout = self._float32("dout", dout, (N, H))
        dh, dhs, _, _ = ops.attention_backward(dout[:, None], None, stash, shared=True)
        return dhs, dh[:, 0]


class TimeAttention(Layer):
    """Dot-product attention of each step of a decoder to an encoder's outputs.

    Attributes
    ----------
    attention_weights : list of array (N, T_enc), or None
        Attention weights of the last forward, one array for each step of the decoder.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention_weights: list[Array] | None = None

    def forward(self, hs_enc: Any, hs_dec: Any) -> Array:
        """Return the contexts (N, T_dec, H) of hs_dec (N, T_dec, H) over hs_enc (N, T_enc, H)."""
        hs_enc = self._float32("hs_enc", hs_enc, ("N", "T_enc", "H"))
        N, _, H = hs_enc.shape
        hs_dec = self._float32("hs_dec", hs_dec, (N, "T_dec", H))
        out, weights, self.cache = ops.attention_forward(hs_dec, hs_enc, hs_enc)
        self.attention_weights = list(weights.swapaxes(0, 1))
        return out

    def backward(self, dout: Any) -> tuple[Array, Array]:
        """Return the gradients of hs_enc and hs_dec from that of the contexts."""
        stash = self._recorded()
        dout = self._float32("dout", dout, stash.shapes[0])
        dhs_dec, dhs_enc, _, _ = ops.attention_backward(dout, None, stash, shared=True)
        return dhs_enc, dhs_dec
