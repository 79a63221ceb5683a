"""The decoder of a Seq2Seq: the target's tokens from the encoder's memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.layers import Attention, Dropout, Embedding, Layer, Linear
from fastrnn.models.attention_after import AttentionAfter
from fastrnn.models.attention_inside import AttentionInside
from fastrnn.models.base import Array, build_rnn, decoder_weights
from fastrnn.models.encoder import Memory, MemoryGradients
from fastrnn.models.inputs import TokenInputs
from fastrnn.models.padding import Padding, sum_of_steps
from fastrnn.models.readout import Readout
from fastrnn.ops import DecoderWeights


class Decoder:
    """A decoder: embedding, recurrent layers, attention and a linear classifier.

    The input of the classifier is the features from the recurrent layers and the attention. With
    `peeky` the encoder's final hidden state is appended to them and to the embedding (Cho et al.
    2014). `options` are the checked arguments of a `Seq2Seq`.
    """

    def __init__(self, options: Mapping[str, Any], rng: np.random.Generator) -> None:
        V, D, H = (options[name] for name in ("target_size", "embedding_size", "hidden_size"))
        common: dict[str, Any] = {"dtype": options["dtype"], "rng": rng}
        attends = options["attention"] is not None
        self.context = options["context"] if attends else None
        self.peeky = options["peeky"]
        self.embedding = Embedding(V, D, **common)
        self.dropout_in = Dropout(options["embedding_dropout"], rng=rng)
        self.readout = Readout(options, rng)
        summary_size = H if self.peeky else 0
        fed_back = {None: 0, "output": 0, "input_feeding": self.readout.size, "input": H}
        width = D + summary_size + fed_back[self.context]
        self.rnn = build_rnn(options, width, rng, num_layers=options["decoder_layers"])
        self.attention: Attention | None = None
        if attends:
            heads = options["num_heads"]
            self.attention = Attention(H, H, score=options["attention"], num_heads=heads, **common)
        self.dropout_out = Dropout(options["dropout"], rng=rng)
        self.output = Linear(self.readout.size + summary_size, V, **common)
        tied = self.output if options["tie_embeddings"] else None
        self.inputs = TokenInputs(self.embedding, self.dropout_in, tied)
        self.layers: dict[str, Layer] = {
            "embedding": self.embedding,
            "dropout_in": self.dropout_in,
            "rnn": self.rnn,
            **self.readout.layers,
            "dropout_out": self.dropout_out,
            "output": self.output,
        }
        self.recurrence: AttentionAfter | AttentionInside
        self.recurrence = AttentionAfter(self.rnn, self.attention, self.readout)
        if self.attention is not None:
            self.layers["attention"] = self.attention
            if (context := options["context"]) != "output":
                inside = AttentionInside(self.rnn, self.attention, self.readout, context)
                self.recurrence = self.layers["recurrence"] = inside

    def weights(self) -> DecoderWeights:
        """Return the weights for `fastrnn.ops.decode_greedy` and the other decodings."""
        self.inputs.tie()
        return decoder_weights(
            self.rnn,
            self.attention,
            context=self.context,
            readout=self.readout.weights,
            embedding=self.embedding.params["W"],
            output=(self.output.params["W"], self.output.params["b"]),
        )

    def given(self, memory: Memory) -> dict[str, Any]:
        """Return the other arguments of decoding, as keyword arguments."""
        given = {"states": memory.states, "constant": memory.summary if self.peeky else None}
        if self.attention is not None:
            given |= {"memory": memory.outputs, "lengths": memory.lengths}
        return given

    def forward(self, tokens: Array, memory: Memory, padding: Padding | None = None) -> Array:
        """Return the logits (L, V) after the given tokens (N, T): teacher forcing.

        The L rows are the positions without `padding`, by default all.
        """
        self._padding = padding = padding or Padding(None, *tokens.shape)
        if self.peeky:
            width = memory.summary.shape[1]
            summary = np.broadcast_to(memory.summary[:, None], (*tokens.shape, width))
            x = np.concatenate([self.inputs.rows(tokens), summary], axis=-1)
            features = self.recurrence.forward(x, memory, padding)
            features = np.concatenate([features, padding.remove(summary)], axis=-1)
        else:
            x, embedding = self.inputs.forward(tokens)
            features = self.recurrence.forward(x, memory, padding, embedding)
        self.inputs.tie()
        logits: Array = self.output(self.dropout_out(features))
        return logits

    def backward(self, dlogits: Array) -> MemoryGradients:
        """Return the gradients of the memory."""
        dfeatures = self.dropout_out.backward(self.output.backward(dlogits))
        dfeatures, dlast = np.split(dfeatures, [self.readout.size], axis=-1)
        dx, doutputs, dstates = self.recurrence.backward(dfeatures)
        dx, dfirst = np.split(dx, [self.embedding.embedding_size], axis=-1)
        self.inputs.backward(dx)
        dsummary = None
        if self.peeky:
            # the summary is an input of every step and of the classifier
            dsummary = sum_of_steps(dfirst) + sum_of_steps(self._padding.restore(dlast))
        return MemoryGradients(doutputs, dstates, dsummary)
