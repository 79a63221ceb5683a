"""Turning the probabilities of a decoder, step by step, into sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from fastrnn.data import BOS, EOS, PAD
from fastrnn.models.base import Array, State

# tokens (N,), state -> logits (N, V), new state, alignment (N, S)
Step: TypeAlias = "Callable[[Array, State], tuple[Array, State, Array]]"


def greedy(step: Step, state: State, count: int, max_length: int) -> tuple[Array, Array]:
    """Take the likeliest token at each step, for ``count`` sequences at once.

    A sequence that has ended stays at ``PAD``, so each result is the same in any batch. Decoding
    stops when all have ended.

    Parameters
    ----------
    step : callable
        Feeds one token to each sequence: ``step(tokens (N,), state)`` returns the logits (N, V)
        of the next token, the new state, and the alignment (N, S) to the source.
    state : array or (array, array)
        State before the first token, which is ``BOS``.
    count : int
        Number of sequences N.
    max_length : int
        Most tokens to produce, ``EOS`` included.

    Returns
    -------
    ids : array of int64, shape (N, L)
        L <= max_length is the length of the longest; past its ``EOS`` each row holds ``PAD``.
    alignments : array, shape (N, L, S)
        Weight of each source position at each step; zeros past ``EOS``.
    """
    tokens = np.full(count, BOS)
    running = np.ones(count, bool)
    ids, alignments = [], []
    for _ in range(max_length):
        logits, state, alignment = step(tokens, state)
        tokens = np.where(running, logits.argmax(axis=-1), PAD)
        ids.append(tokens)
        alignments.append(alignment * running[:, None])
        running &= tokens != EOS
        if not running.any():
            break
    return np.stack(ids, axis=1), np.stack(alignments, axis=1)
