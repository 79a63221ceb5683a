"""The decoder's recurrent layers with attention inside them (Bahdanau; input feeding)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import ops
from fastrnn.layers import Attention, Layer
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.models.base import Array, decoder_weights
from fastrnn.models.encoder import Memory
from fastrnn.models.padding import Padding
from fastrnn.models.readout import Readout


class AttentionInside(Layer):
    """Attention inside the recurrence (Bahdanau; input feeding of Luong).

    The result of attention at a step is an input of the next step, so the whole loop is one call of
    `fastrnn.ops.attention_decoder`, which defines it. Parameters and gradients are in the layers.
    The inputs of `rnn` are x beside the features ("input_feeding") or the context ("input").
    """

    def __init__(
        self, rnn: RecurrentLayer, attention: Attention, readout: Readout, context: str
    ) -> None:
        super().__init__(rnn.rng)
        self.rnn = rnn
        self.attention = attention
        self.readout = readout
        self.context = context

    def forward(
        self, x: Array, memory: Memory, padding: Padding, embedding: Array | None = None
    ) -> Array:
        """Return the features (L, F) of the L valid steps of the inputs x (N, T, D).

        With an `embedding` x has the row numbers (N, T) instead.
        """
        weights = decoder_weights(
            self.rnn,
            self.attention,
            context=self.context,
            readout=self.readout.weights,
            embedding=embedding,
        )
        arguments = (weights, x, None, memory.states, memory.outputs)
        options: dict[str, Any] = {"lengths": memory.lengths, "steps": padding.lengths}
        if not self.training:
            return padding.remove(ops.attention_decoder(*arguments, **options)[0])
        L, H = self.rnn.num_layers, self.rnn.hidden_size
        options["drops"] = self._draw(self.rnn.dropout, L - 1, *padding.shape, H)
        options["drop_h"] = self._draw(self.rnn.recurrent_dropout, L, len(x), H)
        features, _, _, states, stash = ops.attention_decoder_forward(*arguments, **options)
        self._tape = stash, len(states), padding
        return padding.remove(features)

    def _draw(self, p: float, layers: int, *shape: int) -> Array | None:
        """Draw the factors of dropout of some layers; None without any."""
        if not (p and layers):
            return None
        return ops.dropout(np.ones((layers, *shape), self.rnn.dtype), p, rng=self.rng)

    def backward(self, dfeatures: Array) -> tuple[Array, Array, list[Array]]:
        """Return the gradients of x or the embedding, and of the memory's outputs and states."""
        stash, states, padding = self._recorded()
        dx, _, dstates, doutputs, dcells, dweights, dreadout = ops.attention_decoder_backward(
            padding.restore(dfeatures), None, None, [None] * states, stash
        )
        grads = [grad for cell in dcells for grad in cell if grad is not None]
        layers: list[Layer] = [self.rnn, self.attention, *self.readout.layers.values()]
        kept = [(layer, key) for layer in layers for key in layer.grads]
        for (layer, key), new in zip(kept, [*grads, *dweights, *dreadout], strict=True):
            layer._set_grads({key: new})
        return dx, doutputs, dstates
