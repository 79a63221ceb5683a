"""Measures of a translator's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn.data import Vocabulary, normalized
from fastrnn.models.base import Array
from fastrnn.models.translator import Translator
from fastrnn.training import edit_distance

_TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Evaluation:
    """Measures of a translator on pairs; rates are fractions.

    Attributes
    ----------
    pairs, sources : int
        Number of pairs and of different sources.
    exact_match : float
        Fraction of the sources whose answer equals one of their targets.
    error_rate : float
        Edits (insertions, deletions and replacements of tokens) from each answer to its nearest
        target, divided by the number of tokens of these targets; it may exceed 1.
    token_accuracy : float
        Fraction of the target tokens, end marks included, that are the model's most probable token
        given the true tokens before them.
    loss, perplexity : float
        Mean cross-entropy of these tokens in nats, and its exponential.
    """

    pairs: int
    sources: int
    exact_match: float
    error_rate: float
    token_accuracy: float
    loss: float
    perplexity: float


def evaluate(
    translator: Translator, pairs: Sequence[tuple[str, str]], **options: Any
) -> Evaluation:
    """Translate the sources of pairs and compare the answers with the targets.

    The tokens are compared as text, so an unknown token is never correct.

    Parameters
    ----------
    translator : Translator
    pairs : sequence of (str, str)
        Several pairs with the same source give it several correct targets.
    **options
        Options of a call of the translator, for example `beam_size`.

    Raises
    ------
    ValueError
        If there are no pairs, a source is too long, or an option is out of range.
    """
    pairs = check.items("evaluate", "pairs", pairs)
    if not pairs:
        raise ValueError("evaluate: pairs must hold at least one pair, got none")
    for i, (source, _) in enumerate(pairs):
        translator.check_source(source, f"the source of pairs[{i}]")
    references: dict[str, list[str]] = {}
    for source, target in pairs:
        references.setdefault(normalized(source), []).append(normalized(target))
    answers = _answers(translator, list(references), options)
    edits, lengths = _compared(translator.target, answers, references)
    batches = translator.batches(pairs, batch_size=_TEXTS_AT_ONCE, bucket=True, shuffle=False)
    scores = translator.model.token_scores(batches)
    return Evaluation(
        pairs=len(pairs),
        sources=len(references),
        exact_match=float((edits == 0).mean()),
        error_rate=float(edits.sum() / lengths.sum()),
        token_accuracy=scores.accuracy,
        loss=scores.loss,
        perplexity=scores.perplexity,
    )


def _answers(translator: Translator, sources: list[str], options: dict[str, Any]) -> dict[str, str]:
    """Translate in batches of similar length."""
    ordered = sorted(sources, key=len)
    answers: dict[str, str] = {}
    for start in range(0, len(ordered), _TEXTS_AT_ONCE):
        texts = ordered[start : start + _TEXTS_AT_ONCE]
        answers.update(zip(texts, translator(texts, **options), strict=True))
    return answers


def _compared(
    vocabulary: Vocabulary, answers: dict[str, str], references: dict[str, list[str]]
) -> tuple[Array, Array]:
    """Return the edits from each answer to its nearest target, and that target's length."""
    numbers: dict[str, int] = {}

    def ids(text: str) -> Array:
        tokens = vocabulary.split(text)
        return np.array([numbers.setdefault(t, len(numbers)) for t in tokens], np.int64)

    ours = [ids(answers[source]) for source, targets in references.items() for _ in targets]
    theirs = [ids(target) for targets in references.values() for target in targets]
    compared = zip(edit_distance(ours, theirs), map(len, theirs), strict=True)
    counts = map(len, references.values())
    nearest = [min(islice(compared, count), key=itemgetter(0)) for count in counts]
    edits, lengths = np.array(nearest).T
    return edits, lengths
