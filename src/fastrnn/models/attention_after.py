"""The decoder's recurrent layers with attention after them (Luong), for all steps at once."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import Attention
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.models.base import Array, arrays_of, state_of
from fastrnn.models.encoder import Memory
from fastrnn.models.padding import Padding
from fastrnn.models.readout import Readout


class AttentionAfter:
    """Attention after the recurrent layers (Luong): its queries are h of the top layer.

    This is the global attention of M.-T. Luong, H. Pham and C. D. Manning, 2015, section 3.1. Its
    results are not inputs of the recurrence, so it is computed for all steps at once. The readout
    computes the features from the context and h; without attention they are h.
    """

    def __init__(self, rnn: RecurrentLayer, attention: Attention | None, readout: Readout) -> None:
        self.rnn = rnn
        self.attention = attention
        self.readout = readout

    def forward(
        self, x: Array, memory: Memory, padding: Padding, embedding: Array | None = None
    ) -> Array:
        """Return the features (L, F) of the L valid steps of the inputs x (N, T, D).

        With an `embedding` x has the row numbers (N, T) instead.
        """
        self._padding = padding
        state = state_of(memory.states)
        h, _ = self.rnn(x, state, lengths=padding.lengths, embedding=embedding)
        if self.attention is None:
            return padding.remove(h)
        context, _ = self.attention(h, memory.outputs, lengths=memory.lengths)
        return self.readout.forward(padding.remove(context), padding.remove(h))

    def backward(self, dfeatures: Array) -> tuple[Array, Array | None, list[Array]]:
        """Return the gradients of x or the embedding, and of the memory's outputs and states.

        Without attention the gradient of the outputs is None.
        """
        doutputs = None
        if self.attention is None:
            dh = self._padding.restore(dfeatures)
        else:
            dcontext, dh = map(self._padding.restore, self.readout.backward(dfeatures))
            # context = attention(h, outputs): a second use of h
            dquery, doutputs, _ = self.attention.backward(dcontext)
            dh = np.add(dh, dquery, out=dquery)
        dx, dstate = self.rnn.backward(dh)
        return dx, doutputs, arrays_of(dstate)
