"""The decoder of a Seq2Seq: the target's tokens, given what the encoder left."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.layers import Attention, Dropout, Embedding, Layer, Linear
from fastrnn.models.attention_after import AttentionAfter
from fastrnn.models.base import Array, State, add_shared_gradient, build_rnn, share_matrix
from fastrnn.models.encoder import Memory, MemoryGradients
from fastrnn.models.readout import Readout


class Decoder:
    """Embedding, recurrent layers, attention and a linear classifier.

    The classifier sees the features that the recurrent layers and the attention make and, when
    ``peeky``, behind them the encoder's final hidden state, which then also joins the embedding at
    the recurrent layers' input (Cho et al. 2014).

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size : int
        Sizes V, D and H.
    cell, num_layers, attention, readout, readout_size, peeky, tie_embeddings,
    dropout, dtype, rng
        As for ``Seq2Seq``.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        hidden_size: int,
        *,
        cell: str,
        num_layers: int,
        attention: str | None,
        readout: str,
        readout_size: int,
        peeky: bool,
        tie_embeddings: bool,
        dropout: float,
        dtype: Any,
        rng: np.random.Generator,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "rng": rng}
        self.peeky = peeky
        self.tie_embeddings = tie_embeddings
        self.embedding = Embedding(vocab_size, embedding_size, **common)
        self.dropout_in = Dropout(dropout, rng=rng)
        summary_size = hidden_size if peeky else 0
        self.rnn = build_rnn(
            cell,
            embedding_size + summary_size,
            hidden_size,
            num_layers,
            dropout=dropout,
            **common,
        )
        self.attention: Attention | None = None
        context_size = 0
        if attention is not None:
            self.attention = Attention(hidden_size, hidden_size, score=attention, **common)
            context_size = hidden_size
        self.readout = Readout(readout, context_size, hidden_size, readout_size, **common)
        self.recurrence = AttentionAfter(self.rnn, self.attention, self.readout)
        self.dropout_out = Dropout(dropout, rng=rng)
        width = self.readout.size + summary_size
        if tie_embeddings and embedding_size != width:
            raise ValueError(
                "Seq2Seq: tie_embeddings needs embedding_size to be the width of the classifier's "
                f"input, {width}, got {embedding_size}"
            )
        self.output = Linear(width, vocab_size, **common)

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
        return layers

    def forward(self, tokens: Array, memory: Memory) -> Array:
        """Logits (N, T, V) after each of the given ``tokens`` (N, T): teacher forcing."""
        features = self.recurrence.forward(self._inputs(tokens, memory), memory)
        return self._classify(features, memory)

    def step(self, tokens: Array, state: State, memory: Memory) -> tuple[Array, State, Array]:
        """Feed one token to each sequence: logits (N, V), state, alignment (N, S).

        Without attention the alignment is (N, 0).
        """
        x = self._inputs(tokens[:, None], memory)[:, 0]
        features, state, alignment = self.recurrence.step(x, state, memory)
        return self._classify(features[:, None], memory)[:, 0], state, alignment

    def _inputs(self, tokens: Array, memory: Memory) -> Array:
        return self._with_summary(self.dropout_in(self.embedding(tokens)), memory)

    def _classify(self, features: Array, memory: Memory) -> Array:
        if self.tie_embeddings:
            share_matrix(self.embedding, self.output)
        logits: Array = self.output(self.dropout_out(self._with_summary(features, memory)))
        return logits

    def _with_summary(self, x: Array, memory: Memory) -> Array:
        """When peeky, put the summary behind x (N, T, ...) at each of its steps."""
        if not self.peeky:
            return x
        summary = memory.summary[:, None]
        at_each_step = np.broadcast_to(summary, (*x.shape[:2], summary.shape[2]))
        return np.concatenate([x, at_each_step], axis=-1)

    def backward(self, dlogits: Array) -> MemoryGradients:
        """Gradients of what the encoder left."""
        dfeatures = self.dropout_out.backward(self.output.backward(dlogits))
        dfeatures, dlast = np.split(dfeatures, [self.readout.size], axis=-1)
        dx, doutputs, dstate = self.recurrence.backward(dfeatures)
        dx, dfirst = np.split(dx, [self.embedding.embedding_size], axis=-1)
        self.embedding.backward(self.dropout_in.backward(dx))
        if self.tie_embeddings:
            add_shared_gradient(self.embedding, self.output)
        # the one summary was given to the inputs and to the classifier, at every step
        dsummary = dfirst.sum(axis=1) + dlast.sum(axis=1) if self.peeky else None
        return MemoryGradients(doutputs, dstate, dsummary)
