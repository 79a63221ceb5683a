"""The encoder of a Seq2Seq: from a source to outputs for attention and a final state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn.layers import Dropout, Embedding, Layer
from fastrnn.models.base import Array, State, build_rnn, hidden, map_state
from fastrnn.models.bridge import Bridge
from fastrnn.models.inputs import TokenInputs


class Memory(NamedTuple):
    """The results of an encoder that a decoder uses.

    Attributes
    ----------
    outputs : array (N, S, H)
        In the order in which the source was read.
    lengths : integer array (N,) or None
    state : array (L, N, H), or a pair of them
        The decoder's initial h, or (h, c).
    summary : array (N, H)
        The encoder's final hidden state of the top layer.
    """

    outputs: Array
    lengths: Array | None
    state: State
    summary: Array


class MemoryGradients(NamedTuple):
    """The gradients of a `Memory`; None for what the decoder did not use."""

    outputs: Array | None
    state: State
    summary: Array | None


class Encoder:
    """An encoder: embedding and recurrent layers over the source.

    Parameters
    ----------
    options : mapping
        The checked arguments of a `Seq2Seq`. A bidirectional encoder gives each direction
        ``hidden_size // 2`` units. Reading each source from its last token to its first is from
        Sutskever, Vinyals and Le 2014.
    rng : numpy.random.Generator
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        V, D, H = (options[name] for name in ("source_size", "embedding_size", "hidden_size"))
        self.reverse = options["reverse_source"]
        self.bidirectional = options["bidirectional_encoder"]
        self.bridge = Bridge(options, rng)
        self.embedding = Embedding(V, D, dtype=options["dtype"], rng=rng)
        self.dropout = Dropout(options["embedding_dropout"], rng=rng)
        self.inputs = TokenInputs(self.embedding, self.dropout)
        self.rnn = build_rnn(
            options,
            D,
            rng,
            hidden_size=H // 2 if self.bidirectional else H,
            bidirectional=self.bidirectional,
        )

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        bridge = {f"bridge.{name}": layer for name, layer in self.bridge.layers.items()}
        return {"embedding": self.embedding, "dropout": self.dropout, "rnn": self.rnn, **bridge}

    def forward(self, source: Array, lengths: Array | None) -> Memory:
        """Encode the token ids `source` (N, S)."""
        if self.reverse:
            source = np.take_along_axis(source, reversal(source.shape, lengths), axis=1)
        x, table = self.inputs.forward(source)
        outputs, state = self.rnn(x, lengths=lengths, **table)
        if self.bidirectional:
            state = map_state(_join_directions, state)
        return Memory(outputs, lengths, self.bridge.forward(state), hidden(state)[-1])

    def backward(self, gradients: MemoryGradients) -> None:
        """Fill the layers' gradients from the gradients of the last results."""
        dstate = self.bridge.backward(gradients.state, self.rnn.num_layers)
        if gradients.summary is not None:
            hidden(dstate)[-1] += gradients.summary
        if self.bidirectional:
            dstate = map_state(_split_directions, dstate)
        dx, _ = self.rnn.backward(gradients.outputs, dstate)
        self.inputs.backward(dx)


def reversal(shape: tuple[int, ...], lengths: Array | None) -> Array:
    """Return positions (N, S) that reverse each row within its length and keep its padding."""
    count, width = shape
    steps = np.arange(width)
    last = np.full(count, width) if lengths is None else np.asarray(lengths)
    mirrored = last[:, None] - 1 - steps
    return np.where(mirrored >= 0, mirrored, steps)


def _join_directions(h: Array) -> Array:
    """Concatenate the two directions of each layer: (L*2, N, H/2) to (L, N, H)."""
    rows, count, half = h.shape
    pairs = h.reshape(rows // 2, 2, count, half)
    return pairs.transpose(0, 2, 1, 3).reshape(rows // 2, count, 2 * half)


def _split_directions(dh: Array) -> Array:
    """Invert `_join_directions`."""
    layers, count, size = dh.shape
    pairs = dh.reshape(layers, count, 2, size // 2)
    return pairs.transpose(0, 2, 1, 3).reshape(2 * layers, count, size // 2)
