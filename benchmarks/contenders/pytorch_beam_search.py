"""Beam search in plain PyTorch: one word at a time, the beam as the batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cases import Array
from fastrnn.convert import to_torch
from fastrnn.models import Seq2Seq

BOS, EOS = 1, 2


class Hypothesis(NamedTuple):
    tokens: list[int]
    score: float


class TorchBeamSearch(nn.Module):
    """A `Seq2Seq` of LSTMs with general attention after the decoder: its weights and its search."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        wanted = {"cell": "lstm", "attention": "general", "context": "output", "bridge": None}
        config = model.config()
        assert {key: config[key] for key in wanted} == wanted, config
        encoder, decoder = model.encoder, model.decoder
        assert decoder.attention is not None
        self.source, self.target = to_torch(encoder.embedding), to_torch(decoder.embedding)
        self.encoder, self.decoder = to_torch(encoder.rnn), to_torch(decoder.rnn)
        self.query = torch.from_numpy(decoder.attention.params["W"])
        linear = decoder.readout.layers.get("readout")
        self.readout = None if linear is None else to_torch(linear)
        self.output = to_torch(decoder.output)
        self.eval()

    @torch.inference_mode()
    def search(
        self, source: Array, *, beam_size: int, max_length: int, length_penalty: float
    ) -> Hypothesis:
        """The best target of one source (S,), by the rules of `fastrnn.ops.decode_beam`."""
        memory, state = self._encode(torch.from_numpy(source)[None])
        tokens, totals = torch.full((1,), BOS), torch.zeros(1)
        running: list[list[int]] = [[]]
        best = Hypothesis([], -np.inf)
        limit = _divisor(max_length, length_penalty)
        for length in range(1, max_length + 1):
            log_probabilities, state = self._step(tokens, state, memory)
            grown = (totals[:, None] + log_probabilities).flatten()
            values, places = grown.topk(min(2 * beam_size, len(grown)))
            parents = places.div(log_probabilities.shape[1], rounding_mode="floor")
            candidates = list(
                zip(
                    values.tolist(),
                    parents.tolist(),
                    (places % log_probabilities.shape[1]).tolist(),
                    strict=True,
                )
            )
            for value, parent, token in candidates[:beam_size]:
                score = value / _divisor(length, length_penalty)
                if token == EOS and score > best.score:
                    best = Hypothesis(running[parent], score)
            kept = [c for c in candidates if c[2] != EOS][:beam_size]
            running = [[*running[parent], token] for _, parent, token in kept]
            if kept[0][0] / limit <= best.score:
                return best
            rows = torch.tensor([parent for _, parent, _ in kept])
            tokens = torch.tensor([token for *_, token in kept])
            totals = torch.tensor([value for value, *_ in kept])
            state = (state[0][:, rows], state[1][:, rows])
        unfinished = Hypothesis(running[0], kept[0][0] / limit)
        return max(best, unfinished, key=lambda hypothesis: hypothesis.score)

    def _encode(self, source: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs (1, S, H), and the initial states of the decoder."""
        outputs, (h, c) = self.encoder(self.source(source))
        directions = 1 + self.encoder.bidirectional

        def last(state: Tensor) -> Tensor:
            layers, _, size = state.shape
            by_layer = state.view(layers // directions, 1, directions * size)
            return by_layer[-self.decoder.num_layers :]

        return outputs, (last(h), last(c))

    def _step(
        self, tokens: Tensor, state: tuple[Tensor, Tensor], memory: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log probabilities (R, V) of the tokens after these, and the states after them."""
        y, state = self.decoder(self.target(tokens)[:, None], state)
        y = y[:, 0]
        alignment = torch.softmax(y @ self.query @ memory[0].T, -1)
        features = torch.cat([alignment @ memory[0], y], -1)
        if self.readout is not None:
            features = torch.tanh(self.readout(features))
        return torch.log_softmax(self.output(features), -1), state


def _divisor(length: int, length_penalty: float) -> float:
    return float(((5 + length) / 6) ** length_penalty)
