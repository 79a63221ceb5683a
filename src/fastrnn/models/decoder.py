"""The decoder of a Seq2Seq: the target's tokens from the encoder's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.layers import Attention, Dropout, Embedding, Layer, Linear
from fastrnn.models.attention_after import AttentionAfter
from fastrnn.models.attention_inside import AttentionInside
from fastrnn.models.base import (
    Array,
    add_tied_gradient,
    arrays_of,
    build_rnn,
    decoder_weights,
    tie_weights,
)
from fastrnn.models.encoder import Memory, MemoryGradients
from fastrnn.models.inputs import TokenInputs
from fastrnn.models.readout import Readout
from fastrnn.models.steps import Steps
from fastrnn.ops import DecoderWeights


class Decoder:
    """A decoder: embedding, recurrent layers, attention and a linear classifier.

    The input of the classifier is the features from the recurrent layers and the attention. With
    `peeky` the encoder's final hidden state is appended to them and to the embedding (Cho et al.
    2014).

    Parameters
    ----------
    options : mapping
        The checked arguments of a `Seq2Seq`.
    rng : numpy.random.Generator
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        V, D, H = (options[name] for name in ("target_size", "embedding_size", "hidden_size"))
        common: dict[str, Any] = {"dtype": options["dtype"], "rng": rng}
        attends = options["attention"] is not None
        self.cell = options["cell"]
        self.peeky = options["peeky"]
        self.tie_embeddings = options["tie_embeddings"]
        self.context = options["context"] if attends else None
        self.embedding = Embedding(V, D, **common)
        self.dropout_in = Dropout(options["embedding_dropout"], rng=rng)
        self.inputs = TokenInputs(self.embedding, self.dropout_in)
        summary_size, context_size = H if self.peeky else 0, H if attends else 0
        readout_size = options["readout_size"] or H
        self.readout = Readout(options["readout"], context_size, H, readout_size, **common)
        fed_back = {"input_feeding": self.readout.size, "input": context_size}
        width = D + summary_size + fed_back.get(self.context or "", 0)
        self.rnn = build_rnn(options, width, rng, num_layers=options["decoder_layers"])
        self.attention: Attention | None = None
        if attends:
            heads = options["num_heads"]
            self.attention = Attention(H, H, score=options["attention"], num_heads=heads, **common)
        self.recurrence = self._recurrence()
        self.dropout_out = Dropout(options["dropout"], rng=rng)
        self.output = Linear(self.readout.size + summary_size, V, **common)

    def _recurrence(self) -> AttentionAfter | AttentionInside:
        """Combine the recurrent layers, the attention and the readout."""
        if self.attention is None or self.context is None or self.context == "output":
            return AttentionAfter(self.rnn, self.attention, self.readout)
        return AttentionInside(
            self.rnn,
            self.attention,
            self.readout,
            context=self.context,
            cell=self.cell,
        )

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        layers: dict[str, Layer] = {
            "embedding": self.embedding,
            "dropout_in": self.dropout_in,
            "rnn": self.rnn,
            **self.readout.layers,
            "dropout_out": self.dropout_out,
            "output": self.output,
        }
        if self.attention is not None:
            layers["attention"] = self.attention
        if isinstance(self.recurrence, AttentionInside):
            layers["recurrence"] = self.recurrence
        return layers

    def weights(self) -> DecoderWeights:
        """Return the weights for `fastrnn.ops.decode_greedy` and the other decodings."""
        if self.tie_embeddings:
            tie_weights(self.embedding, self.output)
        return decoder_weights(
            self.cell,
            self.rnn,
            self.attention,
            context=self.context,
            readout=self.readout.weights,
            embedding=self.embedding.params["W"],
            output=(self.output.params["W"], self.output.params["b"]),
        )

    def given(self, memory: Memory) -> dict[str, Any]:
        """Return the other arguments of decoding, as keyword arguments."""
        attended: dict[str, Any] = {}
        if self.attention is not None:
            attended = {"memory": memory.outputs, "lengths": memory.lengths}
        constant = memory.summary if self.peeky else None
        return {"states": arrays_of(memory.state), "constant": constant, **attended}

    def forward(self, tokens: Array, memory: Memory, steps: Steps | None = None) -> Array:
        """Return the logits (L, V) after the given tokens (N, T): teacher forcing.

        The L rows are the `steps`, by default all.
        """
        self._steps = steps = steps or Steps(None, *tokens.shape)
        features = self._features(tokens, memory, steps)
        if self.tie_embeddings:
            tie_weights(self.embedding, self.output)
        logits: Array = self.output(self.dropout_out(features))
        return logits

    def _features(self, tokens: Array, memory: Memory, steps: Steps) -> Array:
        """Return the classifier's inputs: features (L, F) and, if peeky, the summary."""
        if not self.peeky:
            x, table = self.inputs.forward(tokens)
            return self.recurrence.forward(x, memory, steps, **table)
        summary = memory.summary[:, None]
        at_each_step = np.broadcast_to(summary, (*tokens.shape, summary.shape[2]))
        x = np.concatenate([self.inputs.rows(tokens), at_each_step], axis=-1)
        features = self.recurrence.forward(x, memory, steps)
        return np.concatenate([features, steps.taken(at_each_step)], axis=-1)

    def backward(self, dlogits: Array) -> MemoryGradients:
        """Return the gradients of the memory."""
        dfeatures = self.dropout_out.backward(self.output.backward(dlogits))
        dfeatures, dlast = np.split(dfeatures, [self.readout.size], axis=-1)
        dx, doutputs, dstate = self.recurrence.backward(dfeatures)
        dx, dfirst = np.split(dx, [self.embedding.embedding_size], axis=-1)
        self.inputs.backward(dx)
        if self.tie_embeddings:
            add_tied_gradient(self.embedding, self.output)
        dsummary = None
        if self.peeky:
            # the summary is an input of every step and of the classifier
            dsummary = dfirst.sum(axis=1) + self._steps.put_back(dlast).sum(axis=1)
        return MemoryGradients(doutputs, dstate, dsummary)
