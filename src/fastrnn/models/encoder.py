"""The encoder of a Seq2Seq: from a source to outputs for attention and a final state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn.layers import Dropout, Embedding, Layer
from fastrnn.models.base import Array, arrays_of, build_rnn, state_of
from fastrnn.models.bridge import Bridge
from fastrnn.models.inputs import TokenInputs


class Memory(NamedTuple):
    """The results of an encoder that a decoder uses.

    Attributes
    ----------
    outputs : array (N, S, H)
        In the order in which the source was read.
    lengths : integer array (N,) or None
    states : list of arrays (L, N, H)
        The decoder's initial h and, for an LSTM, c.
    summary : array (N, H)
        The encoder's final hidden state of the top layer.
    """

    outputs: Array
    lengths: Array | None
    states: list[Array]
    summary: Array


class MemoryGradients(NamedTuple):
    """The gradients of a `Memory`; None for what the decoder did not use."""

    outputs: Array | None
    states: list[Array]
    summary: Array | None


class Encoder:
    """An encoder: embedding and recurrent layers over the source.

    `options` are the checked arguments of a `Seq2Seq`. A bidirectional encoder gives each direction
    ``hidden_size // 2`` units. Reading each source from its last token to its first is from
    Sutskever, Vinyals and Le 2014.
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        V, D, H = (options[name] for name in ("source_size", "embedding_size", "hidden_size"))
        self.reverse = options["reverse_source"]
        self.bidirectional = options["bidirectional_encoder"]
        self.bridge = Bridge(options, rng)
        self.embedding = Embedding(V, D, dtype=options["dtype"], rng=rng)
        self.dropout = Dropout(options["embedding_dropout"], rng=rng)
        self.inputs = TokenInputs(self.embedding, self.dropout)
        others = {"hidden_size": H // 2, "bidirectional": True} if self.bidirectional else {}
        self.rnn = build_rnn(options, D, rng, **others)
        self.layers: dict[str, Layer] = {
            "embedding": self.embedding,
            "dropout": self.dropout,
            "rnn": self.rnn,
            **{f"bridge.{name}": layer for name, layer in self.bridge.layers.items()},
        }

    def forward(self, source: Array, lengths: Array | None) -> Memory:
        """Encode the token ids `source` (N, S)."""
        if self.reverse:
            source = np.take_along_axis(source, self.order(source.shape, lengths), axis=1)
        x, embedding = self.inputs.forward(source)
        outputs, state = self.rnn(x, lengths=lengths, embedding=embedding)
        states = arrays_of(state)
        if self.bidirectional:
            states = [_join_directions(array) for array in states]
        return Memory(outputs, lengths, self.bridge.forward(states), states[0][-1])

    def backward(self, gradients: MemoryGradients) -> None:
        """Fill the layers' gradients from the gradients of the last results."""
        dstates = self.bridge.backward(gradients.states, self.rnn.num_layers)
        if gradients.summary is not None:
            dstates[0][-1] += gradients.summary
        if self.bidirectional:
            dstates = [_split_directions(array) for array in dstates]
        dx, _ = self.rnn.backward(gradients.outputs, state_of(dstates))
        self.inputs.backward(dx)

    def order(self, shape: tuple[int, ...], lengths: Array | None) -> Array:
        """Return the positions (N, S) of the tokens as they are read; its inverse is the same."""
        steps = np.broadcast_to(np.arange(shape[1]), shape)
        if not self.reverse:
            return steps
        mirrored = (shape[1] if lengths is None else lengths[:, None]) - 1 - steps
        return np.where(mirrored >= 0, mirrored, steps)  # padding stays where it is


def _join_directions(h: Array) -> Array:
    """Concatenate the two directions of each layer: (L*2, N, H/2) to (L, N, H)."""
    rows, N, half = h.shape
    return h.reshape(rows // 2, 2, N, half).swapaxes(1, 2).reshape(rows // 2, N, 2 * half)


def _split_directions(dh: Array) -> Array:
    """Invert `_join_directions`."""
    L, N, H = dh.shape
    return dh.reshape(L, N, 2, H // 2).swapaxes(1, 2).reshape(2 * L, N, H // 2)
