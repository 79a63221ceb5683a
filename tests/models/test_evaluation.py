"""The measures of a translator, against their definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fastrnn.data import PairBatches
from fastrnn.models import Seq2Seq, Translator, evaluate

# The answers of the stand-in, and what stands beside each source.
ANSWERS = {"a": "xyz", "bb": "xy", "c": "", "dé": "x\ufffd"}
PAIRS = [("a", "xyz"), ("a", "y"), ("bb", "yy"), ("bb", "xyyy"), ("c", "zz"), ("dé", "xq")]


@pytest.fixture
def translator(monkeypatch: pytest.MonkeyPatch) -> Translator:
    """An untrained model whose answers are those above."""
    translator = Translator.from_pairs(PAIRS, 4, 6, attention="dot", rng=0)
    asked = []

    def answer(self: Translator, texts: list[str], **options: Any) -> list[str]:
        asked.append((texts, options))
        return [ANSWERS[text] for text in texts]

    monkeypatch.setattr(Translator, "__call__", answer)
    translator.asked = asked  # type: ignore[attr-defined]
    return translator


def test_by_hand(translator: Translator) -> None:
    decomposed = [(source.replace("é", "e\u0301"), target) for source, target in PAIRS]
    result = evaluate(translator, decomposed, max_length=7)
    assert (result.pairs, result.sources) == (6, 4)
    assert result.exact_match == 1 / 4
    # a: 0 of 3; bb: 1 of 2 (the nearest is "yy"); c: 2 of 2; dé: 1 of 2
    assert result.error_rate == pytest.approx(4 / 9)
    assert translator.asked == [(["a", "c", "bb", "dé"], {"max_length": 7})]


def test_scores_of_the_tokens(translator: Translator) -> None:
    model = translator.model.eval()
    total, right, tokens = 0.0, 0, 0
    for batch in translator.batches(PAIRS, batch_size=1).epoch(0):
        source, lengths, target = batch
        total += model.loss(*batch) * target.size
        tokens += target.size
        memory = model.encoder.forward(source, lengths)
        fed = np.concatenate([[[1]], target[:, :-1]], axis=1)
        right += int((model.decoder.forward(fed, memory).argmax(-1) == target.ravel()).sum())
    result = evaluate(translator, PAIRS)
    assert result.loss == pytest.approx(total / tokens, rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert result.token_accuracy == right / tokens


def test_padding_and_modes_do_not_matter_to_token_scores() -> None:
    model = Seq2Seq(9, 9, 4, 6, dropout=0.5, label_smoothing=0.2, rng=0)
    rng = np.random.default_rng(0)
    sides = [[rng.integers(4, 9, n) for n in rng.integers(1, 7, 11)] for _ in range(2)]
    one, other = (
        model.token_scores(PairBatches(*sides, batch_size=size, shuffle=False)) for size in (1, 11)
    )
    assert model.training
    assert one.tokens == other.tokens == sum(len(t) + 1 for t in sides[1])
    assert one.loss == pytest.approx(other.loss, rel=1e-5)
    assert one.accuracy == other.accuracy


def test_words_are_compared_as_words(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [("a  b", "x  y")]
    translator = Translator.from_pairs(pairs, 4, 6, level="word", rng=0)
    monkeypatch.setattr(Translator, "__call__", lambda self, texts: ["x y"])
    assert evaluate(translator, pairs).exact_match == 1


def test_nothing_to_evaluate(translator: Translator) -> None:
    with pytest.raises(ValueError, match=r"^evaluate: pairs must hold at least one pair"):
        evaluate(translator, [])
