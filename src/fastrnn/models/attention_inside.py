"""The decoder's recurrent layers with attention inside the recurrence."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import ops
from fastrnn.layers import Attention, Layer
from fastrnn.layers.recurrent import Recurrent
from fastrnn.models.base import Array, State, arrays_of, decoder_weights, state_of
from fastrnn.models.encoder import Memory
from fastrnn.models.readout import Readout
from fastrnn.models.steps import Steps


class AttentionInside(Layer):
    """Attention inside the recurrence (Bahdanau; input feeding of Luong).

    The result of attention at a step is an input of the next step, so the whole loop is one call of
    `fastrnn.ops.attention_decoder`, which defines it. Parameters and gradients are in the layers.

    Parameters
    ----------
    rnn : Recurrent
        Its inputs are x beside the features (input feeding) or the context.
    attention : Attention
    readout : Readout
    context : {"input_feeding", "input"}
        Whether the features or the context are an input of the recurrent layers.
    cell : str
        Name of the cell of `rnn`.
    """

    def __init__(
        self,
        rnn: Recurrent,
        attention: Attention,
        readout: Readout,
        *,
        context: str,
        cell: str,
    ) -> None:
        super().__init__(rnn.rng)
        self.rnn = rnn
        self.attention = attention
        self.readout = readout
        self.context = context
        self.cell = cell

    def forward(
        self, x: Array, memory: Memory, steps: Steps, embedding: Array | None = None
    ) -> Array:
        """Return the features (L, F) of the L valid steps of the inputs x (N, T, D).

        With an `embedding` x has the row numbers (N, T) instead.
        """
        weights = decoder_weights(
            self.cell,
            self.rnn,
            self.attention,
            context=self.context,
            readout=self.readout.weights,
            embedding=embedding,
        )
        arguments = (weights, x, None, arrays_of(memory.state), memory.outputs)
        options: dict[str, Any] = {"lengths": memory.lengths, "steps": steps.lengths}
        if not self.training:
            return steps.taken(ops.attention_decoder(*arguments, **options)[0])
        options |= self._drawn(*steps.shape)
        features, _, _, states, stash = ops.attention_decoder_forward(*arguments, **options)
        self._tape = stash, len(states), steps
        return steps.taken(features)

    def _drawn(self, N: int, T: int) -> dict[str, Array]:
        """Draw the dropout of h and of the inputs of all recurrent layers but the first."""
        rnn = self.rnn
        L, H = rnn.num_layers, rnn.hidden_size
        drawn = {}
        if rnn.dropout and L > 1:
            ones = np.ones((L - 1, N, T, H), rnn.dtype)
            drawn["drops"] = ops.dropout(ones, rnn.dropout, rng=self.rng)
        if rnn.recurrent_dropout:
            ones = np.ones((L, N, H), rnn.dtype)
            drawn["drop_h"] = ops.dropout(ones, rnn.recurrent_dropout, rng=self.rng)
        return drawn

    def backward(self, dfeatures: Array) -> tuple[Array, Array, State]:
        """Return the gradients of x or the embedding, and of the memory's outputs and state."""
        stash, states, steps = self._recorded()
        dx, _, dstates, doutputs, dcells, dweights, dreadout = ops.attention_decoder_backward(
            steps.put_back(dfeatures), None, None, [None] * states, stash
        )
        grads = [grad for cell in dcells for grad in cell if grad is not None]
        layers: list[Layer] = [self.rnn, self.attention, *self.readout.layers.values()]
        kept = (grad for layer in layers for grad in layer.grads.values())
        for grad, new in zip(kept, [*grads, *dweights, *dreadout], strict=True):
            np.copyto(grad, new)
        return dx, doutputs, state_of(dstates)
