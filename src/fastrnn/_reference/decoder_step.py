"""One step of a decoder, for some hypotheses of one sentence.

What a step feeds to the cells is ``[embedding[token]; constant]`` and, by `context`,

==================  ==========================================================================
``None``            nothing else; there is no attention
``output``          nothing else; attention follows the cells (Luong et al. 2015, section 3.1)
``input_feeding``   the features of the step before, zeros at first (section 3.3)
``input``           what attention gives for the state before (Bahdanau et al. 2015, A.2.2)
==================  ==========================================================================

The features are the context c and the output h of the top cell, ``[c; h]`` or, with a readout,
``tanh([c; h] Wc + bc)`` (Luong et al. 2015, equation 5); without attention they are h. The
classifier sees ``[features; constant]``. With residual connections, the output of the third cell
and of those above is h plus the cell's input (Wu et al. 2016, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .attention import attention_forward
from .attention_decoder import stack_step
from .recurrent import equations
from .types import Array


class State(NamedTuple):
    """What a step leaves to the next, for R hypotheses."""

    cells: list[Array]  # h or h and c, of shape (L, R, H)
    features: Array  # (R, F), or (R, 0) where they are not fed back

    def rows(self, numbers: Any) -> State:
        """Return the states of some hypotheses."""
        return State([array[:, numbers] for array in self.cells], self.features[numbers])


@dataclass(frozen=True)
class Sentence:
    """What the decoder of one sentence has, whatever the step."""

    decoder: Any  # as fastrnn.ops.DecoderWeights
    memory: Array  # (1, S, M)
    length: Array  # (1,), of the memory's steps that are its own
    constant: Array  # (P,)
    start: State  # of one hypothesis

    def step(self, tokens: Array, state: State) -> tuple[Array, State, Array]:
        """Feed the tokens (R,): the logits (R, V) of the next, the state, the alignment (R, S)."""
        decoder = self.decoder
        constant = np.broadcast_to(self.constant, (len(tokens), len(self.constant)))
        alignment = np.zeros((len(tokens), self.memory.shape[1]), decoder.embedding.dtype)
        x = [decoder.embedding[tokens], constant, state.features]
        if decoder.context == "input":
            context, alignment = self._attend(state.cells[0][-1])
            x.append(context)
        features, cells, _ = stack_step(
            np.concatenate(x, axis=1),
            state.cells,
            cells=decoder.cells,
            step=equations(decoder.cell).step,
            residual=decoder.residual,
            drops=None,
            drop_h=None,
        )
        if decoder.context in ("output", "input_feeding"):
            context, alignment = self._attend(features)
        if decoder.context is not None:
            features = np.concatenate([context, features], axis=1)
        if decoder.readout is not None:
            Wc, bc = decoder.readout
            features = np.tanh(features @ Wc + bc)
        W, b = decoder.output
        logits = np.concatenate([features, constant], axis=1) @ W + b
        fed = features if decoder.context == "input_feeding" else features[:, :0]
        return logits, State(cells, fed), alignment

    def _attend(self, query: Array) -> tuple[Array, Array]:
        """Return the context (R, M) and the alignment (R, S) of some queries (R, H)."""
        context, alignment, _ = attention_forward(
            query[None],
            self.memory,
            self.memory,
            self.decoder.weights,
            score=self.decoder.score,
            heads=self.decoder.heads,
            lengths=self.length,
            train=False,
        )
        return context[0], alignment[0]


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
    fed = decoder.output[0].shape[0] - constant.shape[1]
    features = np.zeros((N, fed if decoder.context == "input_feeding" else 0), memory.dtype)
    batch = State(list(states), features)
    return [
        Sentence(decoder, memory[own], lengths[own], constant[n], batch.rows(own))
        for n, own in ((n, slice(n, n + 1)) for n in range(N))
    ]
