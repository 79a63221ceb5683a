"""A decoder that attends to its memory at every step, over time: `decoder_step.py` under a loop.

A sequence may end before step T. Beyond its own last step f is 0, and what is fed and the states
stay, as in a recurrent layer (`sequence.py`).

Shapes: x (N, T, E), or the numbers (N, T) of the embedding's rows; f (N, T, F), attention
(N, T, S), fed (N, F), each state and drop_h (L, N, H), memory (N, S, M), drops (L - 1, N, T, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import sequence
from .decoder_step import step, step_backward
from .embedding import embedding_backward, embedding_forward
from .sequence import add_to, rows_of, zeros_of
from .types import Array, Stash, Weights


def attention_decoder_forward(
    decoder: Any,
    x: Array,
    fed: Array | None,
    states: Sequence[Array],
    memory: Array,
    *,
    lengths: Array | None,
    steps: Array | None,
    drops: Array | None,
    drop_h: Array | None,
    train: bool,
    num_threads: int | None = None,
) -> tuple[Array, Array, Array | None, list[Array], Stash | None]:
    """Return features, attention, the last features to feed, the last states, and a stash.

    `decoder` is as `fastrnn.ops.DecoderWeights`, of context input_feeding or input; `fed` are the
    features before the first step, for input_feeding, else None. `lengths` are those of the memory,
    `steps` the numbers of steps of the sequences.
    """
    inputs = x if x.ndim == 3 else embedding_forward(x, decoder.embedding)
    (N, T, _), (_, S, M), H = inputs.shape, memory.shape, states[0].shape[2]
    F = M + H if decoder.readout is None else len(decoder.readout[1])
    features, attention = np.zeros((N, T, F), inputs.dtype), np.zeros((N, T, S), inputs.dtype)
    states, fed = [state.copy() for state in states], None if fed is None else fed.copy()
    tape = []
    for t, rows in sequence.steps(inputs, steps, reverse=False):
        features[rows, t], attention[rows, t], after, saved = step(
            decoder,
            inputs[rows, t],
            rows_of(fed, rows),
            [state[:, rows] for state in states],
            memory[rows],
            lengths=rows_of(lengths, rows),
            drops=None if drops is None else drops[:, rows, t],
            drop_h=None if drop_h is None else drop_h[:, rows],
            train=train,
        )
        for state, new in zip(states, after, strict=True):
            state[:, rows] = new
        if fed is not None:
            fed[rows] = features[rows, t]
        if train:
            tape.append((t, rows, saved))
    ids = x.copy() if x.ndim == 2 else None
    return features, attention, fed, states, (inputs, ids, memory, decoder, tape) if train else None


def attention_decoder_backward(
    dfeatures: Array,
    dattention: Array | None,
    dfed: Array | None,
    dstates: Sequence[Array],
    stash: Stash,
    *,
    num_threads: int | None = None,
) -> tuple[Array, Array | None, list[Array], Array, list[Weights], Weights, Weights]:
    """Return ``(dx, dfed, dstates0, dmemory, dcells, dweights, dreadout)``; None means zeros.

    Where x were numbers, the gradient of the embedding stands in the place of dx.
    """
    inputs, ids, memory, decoder, tape = stash
    (N, _, E), F = inputs.shape, dfeatures.shape[2]
    feeding = decoder.context == "input_feeding"
    dx, dmemory = np.zeros_like(inputs), np.zeros_like(memory)
    totals = [zeros_of(each) for each in (*decoder.cells, decoder.weights, decoder.readout or ())]
    dstates = [dstate.copy() for dstate in dstates]
    dfed = np.zeros((N, F), inputs.dtype) if dfed is None else dfed.copy()
    for t, rows, saved in reversed(tape):
        df = dfeatures[rows, t]
        if feeding:
            df = df + dfed[rows]  # fed = f, in the step after
        da = None if dattention is None else dattention[rows, t]
        dafter = [dstate[:, rows] for dstate in dstates]
        dx[rows, t], dsecond, dbefore, dkeys, parts = step_backward(df, da, dafter, saved)
        if feeding:
            dfed[rows] = dsecond
        for dstate, new in zip(dstates, dbefore, strict=True):
            dstate[:, rows] = new
        dmemory[rows] += dkeys
        for total, part in zip(totals, parts, strict=True):
            add_to(total, part)
    if ids is not None:
        dx = embedding_backward(dx.reshape(ids.size, E), ids.ravel(), len(decoder.embedding))
    *dcells, dweights, dreadout = totals
    return dx, dfed if feeding else None, dstates, dmemory, dcells, dweights, dreadout
