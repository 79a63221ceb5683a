"""The decoder's recurrent layers, and attention after them over all steps at once."""

from __future__ import annotations

import numpy as np

from fastrnn.layers import Attention
from fastrnn.layers.recurrent import Recurrent
from fastrnn.models.base import Array, State
from fastrnn.models.encoder import Memory
from fastrnn.models.readout import Readout
from fastrnn.models.steps import Steps


class AttentionAfter:
    """Features of a sequence: h of the top layer, then what attention with the query h gives.

    The global attention of M.-T. Luong, H. Pham and C. D. Manning, 2015, section 3.1. What
    attention returns does not come back into the recurrence, so all steps attend at once.

    Parameters
    ----------
    rnn : Recurrent
    attention : Attention, optional
        Without it the features are h.
    readout : Readout
        Makes the features of the context and h; not used without attention.
    """

    def __init__(self, rnn: Recurrent, attention: Attention | None, readout: Readout) -> None:
        self.rnn = rnn
        self.attention = attention
        self.readout = readout

    def forward(
        self, x: Array, memory: Memory, steps: Steps, embedding: Array | None = None
    ) -> Array:
        """Features (L, F) of the steps of the inputs x (N, T, D).

        With an `embedding` x are the numbers (N, T) of its rows.
        """
        self._steps = steps
        h, _ = self.rnn(x, memory.state, lengths=steps.lengths, embedding=embedding)
        if self.attention is None:
            return steps.taken(h)
        context, _ = self.attention(h, memory.outputs, lengths=memory.lengths)
        return self.readout.forward(steps.taken(context), steps.taken(h))

    def backward(self, dfeatures: Array) -> tuple[Array, Array | None, State]:
        """Gradients of x or the embedding, of the memory's outputs and of its state.

        Without attention those of the outputs are None.
        """
        doutputs = None
        if self.attention is None:
            dh = self._steps.put_back(dfeatures)
        else:
            dcontext, dh = map(self._steps.put_back, self.readout.backward(dfeatures))
            # context = attention(h, outputs): h is used here a second time
            dquery, doutputs, _ = self.attention.backward(dcontext)
            dh = np.add(dh, dquery, out=dquery)
        dx, dstate = self.rnn.backward(dh)
        return dx, doutputs, dstate
