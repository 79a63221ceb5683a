"""Loss and accuracy of a model per token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fastrnn.layers import SoftmaxCrossEntropy
from fastrnn.models.base import Array


@dataclass(frozen=True)
class TokenScores:
    """Scores of the tokens of texts, each given the true tokens before it.

    Attributes
    ----------
    loss : float
        Mean cross-entropy in nats per token.
    accuracy : float
        Fraction of the tokens that are the model's most probable token.
    tokens : int
        Number of tokens without padding.
    """

    loss: float
    accuracy: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """The exponential of the loss; inf if it overflows."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.loss))


def score_tokens(
    owner: str, criterion: SoftmaxCrossEntropy, outputs: Iterable[tuple[Array, Array]]
) -> TokenScores:
    """Score batches of logits (..., V) and targets (...); all tokens have equal weight."""
    total, right, tokens = 0.0, 0, 0
    for logits, targets in outputs:
        counted = targets != criterion.ignore_index  # all tokens, if it is None
        count = int(counted.sum())
        if count:
            total += float(criterion(logits, targets)) * count
            right += int(((logits.argmax(axis=-1) == targets) & counted).sum())
            tokens += count
    if not tokens:
        raise ValueError(f"{owner}: there must be at least one token to score")
    return TokenScores(total / tokens, right / tokens, tokens)
