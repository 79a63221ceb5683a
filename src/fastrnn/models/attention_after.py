"""The decoder's recurrent layers with attention after them, for all steps at once."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import Attention
from fastrnn.layers.recurrent import Recurrent
from fastrnn.models.base import Array, State
from fastrnn.models.encoder import Memory
from fastrnn.models.readout import Readout
from fastrnn.models.steps import Steps


class AttentionAfter:
    """Attention after the recurrent layers (Luong): its queries are h of the top layer.

    This is the global attention of M.-T. Luong, H. Pham and C. D. Manning, 2015, section 3.1. Its
    results are not inputs of the recurrence, so it is computed for all steps at once.

    Parameters
    ----------
    rnn : Recurrent
    attention : Attention, optional
        Without attention the features are h.
    readout : Readout
        Computes the features from the context and h; not used without attention.
    """

    def __init__(self, rnn: Recurrent, attention: Attention | None, readout: Readout) -> None:
        self.rnn = rnn
        self.attention = attention
        self.readout = readout

    def forward(
        self, x: Array, memory: Memory, steps: Steps, embedding: Array | None = None
    ) -> Array:
        """Return the features (L, F) of the L valid steps of the inputs x (N, T, D).

        With an `embedding` x has the row numbers (N, T) instead.
        """
        self._steps = steps
        h, _ = self.rnn(x, memory.state, lengths=steps.lengths, embedding=embedding)
        if self.attention is None:
            return steps.taken(h)
        context, _ = self.attention(h, memory.outputs, lengths=memory.lengths)
        return self.readout.forward(steps.taken(context), steps.taken(h))

    def backward(self, dfeatures: Array) -> tuple[Array, Array | None, State]:
        """Return the gradients of x or the embedding, and of the memory's outputs and state.

        Without attention the gradient of the outputs is None.
        """
        doutputs = None
        if self.attention is None:
            dh = self._steps.put_back(dfeatures)
        else:
            dcontext, dh = map(self._steps.put_back, self.readout.backward(dfeatures))
            # context = attention(h, outputs): a second use of h
            dquery, doutputs, _ = self.attention.backward(dcontext)
            dh = np.add(dh, dquery, out=dquery)
        dx, dstate = self.rnn.backward(dh)
        return dx, doutputs, dstate
