from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn.data import Vocabulary
from fastrnn.models import LanguageModel, Seq2Seq, Translator, evaluate, save
from fastrnn.training import Adam, Trainer

PAIRS = [("ab", "BA"), ("abc", "CBA"), ("c", "C"), ("cab", "BAC"), ("bb", "BB"), ("ca", "AC")]


@pytest.fixture(scope="module")
def translator() -> Translator:
    """Trained until it knows its six pairs by heart."""
    translator = Translator.from_pairs(PAIRS, 8, 32, attention="dot", rng=0)
    trainer = Trainer(translator.model, Adam(2e-2), max_grad_norm=5.0, progress=False)
    trainer.fit(translator.batches(PAIRS, batch_size=3), epochs=60)
    return translator


def test_texts_in_texts_out(translator: Translator) -> None:
    sources, targets = zip(*PAIRS, strict=True)
    assert translator(sources) == list(targets)
    assert translator(["abc", "", "c"]) == ["CBA", "", "C"]
    assert translator([]) == []
    assert translator(["abc"], max_length=2) == ["CB"]


def test_what_was_never_seen_still_gives_a_text(translator: Translator) -> None:
    (answer,) = translator(["x?" * 40], max_length=5)
    assert isinstance(answer, str) and len(answer) <= 5


def test_the_attention_has_a_row_for_each_target_token(translator: Translator) -> None:
    attention = translator.attention("cab")
    assert attention.source == ["c", "a", "b"]
    assert attention.target == ["B", "A", "C"]
    np.testing.assert_allclose(attention.weights.sum(axis=1), 1.0, rtol=1e-5)


def test_file_and_back(translator: Translator, tmp_path: Path) -> None:
    translator.save(tmp_path / "t.safetensors")
    loaded = Translator.load(tmp_path / "t.safetensors")
    assert loaded.source == translator.source and loaded.target == translator.target
    assert loaded(["abc", "ca"]) == ["CBA", "AC"]
    assert not loaded.model.training


def test_words() -> None:
    pairs = [("the cat", "die Katze"), ("a dog", "ein Hund")]
    translator = Translator.from_pairs(pairs, 4, 8, level="word", rng=0)
    assert translator.model.source_size == 8
    (source, _, target) = next(translator.batches(pairs, batch_size=2, shuffle=False).epoch(0))
    assert source.shape == (2, 2) and target.shape == (2, 3)


def test_texts_and_pairs_must_be_several(translator: Translator) -> None:
    with pytest.raises(TypeError, match=r"^Translator: texts must be several strings, got one"):
        translator("ab")
    with pytest.raises(ValueError, match=r"^Translator: pairs must hold at least one pair, got no"):
        Translator.from_pairs([], 4, 8)


def test_vocabularies_must_fit() -> None:
    model = Seq2Seq(7, 6, 3, 4)
    with pytest.raises(ValueError, match="Translator: target must have 6 tokens, got 7"):
        Translator(model, Vocabulary("abc"), Vocabulary("abc"))


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(LanguageModel(7, 3, 4), path)
    with pytest.raises(ValueError, match=f"^{path}: holds a LanguageModel, not a Seq2Seq$"):
        Translator.load(path)
    for extra in (
        {},
        {"source": 1, "target": 2},
        {"source": {"level": "char", "tokens": ["a"]}, "target": {"level": "char", "tokens": []}},
        {"source": {"level": "char", "tokens": [3]}, "target": {"level": "char", "tokens": []}},
    ):
        save(Seq2Seq(7, 6, 3, 4), path, extra=extra)
        with pytest.raises(ValueError, match=f"^{path}: no vocabularies that fit the model"):
            Translator.load(path)


def test_a_source_that_is_too_long(tmp_path: Path) -> None:
    translator = Translator.from_pairs(PAIRS, 4, 8, attention="dot", max_source_length=3, rng=0)
    translator.save(tmp_path / "t")
    loaded = Translator.load(tmp_path / "t")
    assert len(loaded(["abc"])) == 1
    message = r"^Translator: texts\[1\] must have at most 3 tokens, got 5: 'abcab'$"
    with pytest.raises(ValueError, match=message):
        loaded(["abc", "abcab", "abca"])
    with pytest.raises(ValueError, match=r"^Translator: texts\[0\] must have at most 3"):
        loaded.attention("abcab")
    with pytest.raises(ValueError, match="max_source_length must be at least 1, got 0"):
        Translator.from_pairs(PAIRS, 4, 8, max_source_length=0)


def test_a_file_from_before_there_was_a_maximum(tmp_path: Path) -> None:
    translator = Translator.from_pairs(PAIRS, 4, 8, rng=0)
    extra = {name: getattr(translator, name).to_dict() for name in ("source", "target")}
    save(translator.model, tmp_path / "t", extra=extra)
    assert Translator.load(tmp_path / "t").max_source_length == 1000


def test_levels_of_each_side_and_a_minimum_count() -> None:
    pairs = [("the cat", "ABA"), ("the dog", "C")]
    translator = Translator.from_pairs(pairs, 4, 8, source_level="word", min_count=2, rng=0)
    assert translator.source.tokens[4:] == ("the",) and translator.target.tokens[4:] == ("A",)


def test_streamed_batches_are_those_in_memory(translator: Translator) -> None:
    options = {"batch_size": 2, "bucket": True, "seed": 4}
    streamed = translator.batches(PAIRS, stream=True, **options)
    whole = translator.batches(PAIRS, **options)
    assert streamed.fingerprint() == whole.fingerprint()
    for one, other in zip(streamed.epoch(1), whole.epoch(1), strict=True):
        for array, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, same)


ONE_SHOT = {
    "zip": lambda pairs: zip(*zip(*pairs, strict=True), strict=True),
    "generator": lambda pairs: (pair for pair in pairs),
    "map": lambda pairs: map(tuple, pairs),
    "array": np.array,
    "array of objects": lambda pairs: np.array(pairs, dtype=object),
    "dict": lambda pairs: dict(pairs).items(),
}


@pytest.mark.parametrize("kind", ONE_SHOT)
def test_pairs_from_an_iterator_or_an_array(kind: str, translator: Translator) -> None:
    pairs = ONE_SHOT[kind]
    made = Translator.from_pairs(pairs(PAIRS), 4, 8, rng=0)
    assert (made.source, made.target) == (translator.source, translator.target)
    for stream in (False, True):
        one, other = (
            translator.batches(given, batch_size=4, stream=stream)
            for given in (PAIRS, pairs(PAIRS))
        )
        assert one.fingerprint() == other.fingerprint()
        for batch, same in zip(one.epoch(1), other.epoch(1), strict=True):
            for array, twin in zip(batch, same, strict=True):
                np.testing.assert_array_equal(array, twin)
    assert evaluate(translator, pairs(PAIRS)) == evaluate(translator, PAIRS)


@pytest.mark.parametrize("kind", [np.array, iter, tuple, lambda texts: np.array(texts, object)])
def test_texts_from_an_iterator_or_an_array(kind: Any, translator: Translator) -> None:
    sources = [source for source, _ in PAIRS]
    assert translator(kind(sources)) == translator(sources)
    assert translator(kind([])) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(3), "texts must be a sequence, got 3"),
        (lambda t: t(np.array("ab")), "texts must be a sequence, got a <U2 array of shape ()"),
        (lambda t: t(["ab", 3]), "texts[1] must be a str, got 3"),
        (lambda t: t(np.array([["a"], ["b"]])), "texts[0] must be a str, got a <U1 array of shape"),
        (lambda t: t.attention(np.array(["ab"])), "texts[0] must be a str, got a <U2 array of sha"),
        (lambda t: t.batches("ab", batch_size=1), "pairs must be several strings, got one"),
        (lambda t: Translator.from_pairs(None, 4, 8), "pairs must be a sequence, got None"),
    ],
)
def test_texts_that_are_none(call: Any, message: str, translator: Translator) -> None:
    with pytest.raises(TypeError, match=f"^Translator: {re.escape(message)}"):
        call(translator)


def test_an_iterator_of_no_pairs(translator: Translator) -> None:
    for empty in (iter(()), np.empty((0, 2), object)):
        with pytest.raises(
            ValueError, match=r"^Translator: pairs must hold at least one pair, got"
        ):
            Translator.from_pairs(empty, 4, 8)
        with pytest.raises(
            ValueError, match=r"^evaluate: pairs must hold at least one pair, got no"
        ):
            evaluate(translator, empty)


def test_batches_that_are_none(translator: Translator) -> None:
    class Empty:
        def epoch(self, k: int) -> Any:
            return iter(())

    with pytest.raises(ValueError, match=r"^Seq2Seq: there must be at least one target to score$"):
        translator.model.accuracy(Empty())
    for measure in (translator.model.accuracy, translator.model.token_scores):
        with pytest.raises(TypeError, match=r"^Seq2Seq: batches must be .*, got generator$"):
            measure(translator.batches(PAIRS, batch_size=2).epoch(0))
