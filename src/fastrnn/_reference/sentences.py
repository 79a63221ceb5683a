"""The sentences of a batch that is decoded, each on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .decoder_step import step
from .sequence import rows_of
from .types import Array


class State(NamedTuple):
    """What a step leaves to the next, for R hypotheses."""

    cells: list[Array]  # h or h and c, of shape (L, R, H)
    fed: Array | None  # (R, F), features where they are fed back

    def rows(self, numbers: Any) -> State:
        """Return the states of some hypotheses."""
        return State([array[:, numbers] for array in self.cells], rows_of(self.fed, numbers))


@dataclass(frozen=True)
class Sentence:
    """What the decoder of one sentence has, whatever the step."""

    decoder: Any  # as fastrnn.ops.DecoderWeights
    memory: Array  # (1, S, M)
    length: Array  # (1,), of the memory's steps that are its own
    constant: Array  # (P,), what joins the input and the features at each step
    start: State  # of one hypothesis

    def step(self, tokens: Array, state: State) -> tuple[Array, State, Array]:
        """Feed the tokens (R,): the logits (R, V) of the next, the state, the attention (R, S)."""
        constant = np.broadcast_to(self.constant, (len(tokens), len(self.constant)))
        x = np.concatenate((self.decoder.embedding[tokens], constant), axis=1)
        features, attention, cells, _ = step(
            self.decoder, x, state.fed, state.cells, self.memory, lengths=self.length
        )
        W, b = self.decoder.output
        logits = np.concatenate((features, constant), axis=1) @ W + b
        return logits, State(cells, None if state.fed is None else features), attention


def sentences(
    decoder: Any,
    states: list[Array],
    memory: Array | None,
    lengths: Array | None,
    constant: Array | None,
) -> list[Sentence]:
    """Take a batch apart: what each of the N sentences has."""
    N = states[0].shape[1]
    if memory is None:
        memory = np.zeros((N, 0, 0), decoder.embedding.dtype)
    if lengths is None:
        lengths = np.full(N, memory.shape[1])
    if constant is None:
        constant = np.zeros((N, 0), decoder.embedding.dtype)
    F = len(decoder.output[0]) - constant.shape[1]
    fed = np.zeros((N, F), memory.dtype) if decoder.context == "input_feeding" else None
    batch = State(list(states), fed)
    return [
        Sentence(decoder, memory[own], lengths[own], constant[n], batch.rows(own))
        for n, own in ((n, slice(n, n + 1)) for n in range(N))
    ]
