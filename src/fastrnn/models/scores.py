"""How well a model tells each token from those before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fastrnn.layers import SoftmaxCrossEntropy
from fastrnn.models.base import Array


@dataclass(frozen=True)
class TokenScores:
    """What a model gives to the tokens of some texts, each after the true ones before it.

    Attributes
    ----------
    loss : float
        Mean cross-entropy in nats per token.
    accuracy : float
        Share of the tokens that are the model's likeliest.
    tokens : int
        How many there are; padding does not count.
    """

    loss: float
    accuracy: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; inf if that overflows."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.loss))


def score_tokens(
    owner: str, criterion: SoftmaxCrossEntropy, outputs: Iterable[tuple[Array, Array]]
) -> TokenScores:
    """Score batches of logits (..., V) and targets (...), every token of them the same."""
    total, right, tokens = 0.0, 0, 0
    for logits, targets in outputs:
        counted = targets != criterion.ignore_index  # all, where that is None
        count = int(counted.sum())
        if count:
            total += float(criterion(logits, targets)) * count
            right += int(((logits.argmax(axis=-1) == targets) & counted).sum())
            tokens += count
    if not tokens:
        raise ValueError(f"{owner}: there must be at least one token to score")
    return TokenScores(total / tokens, right / tokens, tokens)
