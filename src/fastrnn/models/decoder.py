"""The decoder of a Seq2Seq: the target's tokens, given what the encoder left."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.layers import Attention, Dropout, Embedding, Layer, Linear
from fastrnn.models.base import Array, State, build_rnn, hidden
from fastrnn.models.encoder import Memory


class Decoder:
    """Embedding, recurrent layers, attention after them, and a linear classifier.

    The classifier sees ``[y, context, summary]``: the recurrent output, with attention the
    context that it asked for (as in Luong, Pham and Manning 2015, without their tanh layer), and
    when ``peeky`` the encoder's final hidden state, which then also joins the embedding at the
    recurrent layers' input (Cho et al. 2014).

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size : int
        Sizes V, D and H.
    cell, num_layers, attention, peeky, dropout, dtype, rng
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
        peeky: bool,
        dropout: float,
        dtype: Any,
        rng: np.random.Generator,
    ) -> None:
        common: dict[str, Any] = {"dtype": dtype, "rng": rng}
        self.hidden_size = hidden_size
        self.peeky = peeky
        self.embedding = Embedding(vocab_size, embedding_size, **common)
        self.dropout_in = Dropout(dropout, rng=rng)
        self.rnn = build_rnn(
            cell,
            embedding_size + (hidden_size if peeky else 0),
            hidden_size,
            num_layers,
            dropout=dropout,
            **common,
        )
        self.attention: Attention | None = None
        if attention is not None:
            self.attention = Attention(hidden_size, hidden_size, score=attention, **common)
        self.dropout_out = Dropout(dropout, rng=rng)
        features = 1 + (attention is not None) + peeky
        self.output = Linear(features * hidden_size, vocab_size, **common)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name."""
        layers: dict[str, Layer] = {
            "embedding": self.embedding,
            "dropout_in": self.dropout_in,
            "rnn": self.rnn,
            "dropout_out": self.dropout_out,
            "output": self.output,
        }
        if self.attention is not None:
            layers["attention"] = self.attention
        return layers

    def forward(self, tokens: Array, memory: Memory) -> Array:
        """Logits (N, T, V) after each of the given ``tokens`` (N, T): teacher forcing."""
        y, _ = self.rnn(self._inputs(tokens, memory), memory.state)
        logits, _ = self._classify(y, memory)
        return logits

    def step(self, tokens: Array, state: State, memory: Memory) -> tuple[Array, State, Array]:
        """Feed one token to each sequence: logits (N, V), state, alignment (N, S).

        Without attention the alignment is (N, 0).
        """
        y, state = self.rnn.step(self._inputs(tokens[:, None], memory)[:, 0], state)
        logits, alignment = self._classify(y[:, None], memory)
        return logits[:, 0], state, alignment[:, 0]

    def _inputs(self, tokens: Array, memory: Memory) -> Array:
        x = self.dropout_in(self.embedding(tokens))
        return np.concatenate([x, _at_each_step(memory.summary, x)], axis=-1) if self.peeky else x

    def _classify(self, y: Array, memory: Memory) -> tuple[Array, Array]:
        features, alignment = [y], y[..., :0]
        if self.attention is not None:
            context, alignment = self.attention(y, memory.outputs, lengths=memory.lengths)
            features.append(context)
        if self.peeky:
            features.append(_at_each_step(memory.summary, y))
        return self.output(self.dropout_out(np.concatenate(features, axis=-1))), alignment

    def backward(self, dlogits: Array) -> tuple[Array | None, State]:
        """Gradients of the memory's outputs (None without attention) and of its state."""
        dfeatures = self.dropout_out.backward(self.output.backward(dlogits))
        # features = [y, context, summary]
        dparts = np.split(dfeatures, dfeatures.shape[-1] // self.hidden_size, axis=-1)
        dy, doutputs = dparts[0], None
        if self.attention is not None:
            # context = attention(y, outputs): y is used here a second time
            dquery, doutputs, _ = self.attention.backward(dparts[1])
            dy = np.add(dy, dquery, out=dquery)
        dx, dstate = self.rnn.backward(dy)
        if self.peeky:
            # the one summary was given to the classifier and to the inputs, at every step
            dx, dpeek = np.split(dx, [-self.hidden_size], axis=-1)
            hidden(dstate)[-1] += (dparts[-1] + dpeek).sum(axis=1)
        self.embedding.backward(self.dropout_in.backward(dx))
        return doutputs, dstate


def _at_each_step(summary: Array, like: Array) -> Array:
    """(N, H) seen from each of the T steps of ``like`` (N, T, ...), without a copy."""
    count, size = summary.shape
    return np.broadcast_to(summary[:, None], (count, like.shape[1], size))
