from __future__ import annotations

import unicodedata
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from fastrnn.data import EOS, UNK, StreamBatches, Vocabulary
from fastrnn.models import LanguageModel, Seq2Seq, TextModel, language_model, save
from fastrnn.training import Adam, Trainer

TEXT = "the cat sat\non the mat\n" * 20


@pytest.fixture(scope="module", params=["char", "word"])
def model(request: pytest.FixtureRequest) -> TextModel:
    """Trained until it knows its two lines by heart."""
    model = TextModel.from_text(TEXT, 8, 24, level=request.param, rng=0)
    trainer = Trainer(model.model, Adam(2e-2), max_grad_norm=5.0, progress=False)
    trainer.fit(model.batches(TEXT, batch_size=2, num_steps=12), epochs=25)
    return model


def test_learns_and_continues(model: TextModel) -> None:
    scores = model.evaluate(TEXT)
    assert scores.perplexity < 1.2 and scores.accuracy > 0.9
    assert scores.tokens == len(model.encode(TEXT)) - 1
    length = len(model.encode("on the mat\nthe cat"))
    written = model.sample(length, start="\nthe cat sat\n", temperature=0)
    assert written == "on the mat\nthe cat"


def test_text_there_and_back(model: TextModel) -> None:
    for text in (TEXT, "the mat", "cat\n\nsat", "\n"):
        assert model.decode(model.encode(text)) == text
        decomposed = unicodedata.normalize("NFD", text)
        np.testing.assert_array_equal(model.encode(decomposed), model.encode(text))
    assert model.decode(model.encode("")) == ""


def test_only_words_end_lines_with_a_mark() -> None:
    words = TextModel.from_text("a b\n", 4, 4, level="word", rng=0)
    assert words.encode("a x\nb").tolist() == [4, UNK, EOS, 5]
    assert EOS not in TextModel.from_text("a b\n", 4, 4, rng=0).encode("a\nb")


def test_sampling(model: TextModel) -> None:
    one, same, other = (model.sample(40, temperature=3, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    for text in (one, other):
        assert UNK not in model.encode(text)
        assert len(model.encode(text)) == 40
    assert model.sample(0) == ""
    with pytest.raises(ValueError, match=r"^TextModel: start must have a token, got ''$"):
        model.sample(3, start="")


def test_scores_by_hand() -> None:
    model = TextModel.from_text("abcab", 3, 4, rng=0)
    ids = model.encode("cabba")
    batches = StreamBatches(ids, batch_size=1, num_steps=4)
    model.model.eval()
    assert model.evaluate("cabba").loss == pytest.approx(
        model.model.loss(*next(batches.epoch(0))), rel=1e-6
    )
    assert model.evaluate("cabba").tokens == 4
    with pytest.raises(ValueError, match="text must have at least 2 tokens, got"):
        model.evaluate("a")


def test_min_count_makes_unknowns() -> None:
    model = TextModel.from_text("aab", 3, 4, min_count=2, rng=0)
    assert model.encode("ab").tolist() == [4, UNK]
    with pytest.raises(ValueError, match=r"^TextModel: text must not be empty$"):
        TextModel.from_text(" \n", 3, 4)


def test_file_and_back(model: TextModel, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model.save(path)
    loaded = TextModel.load(path)
    assert loaded.vocabulary == model.vocabulary and not loaded.model.training
    assert loaded.sample(20, seed=3) == model.sample(20, seed=3)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(Seq2Seq(7, 6, 3, 4), path)
    with pytest.raises(ValueError, match=f"^{path}: holds a Seq2Seq, not a LanguageModel$"):
        TextModel.load(path)
    for extra in ({}, {"vocabulary": 3}, {"vocabulary": Vocabulary("ab").to_dict()}):
        save(LanguageModel(7, 3, 4), path, extra=extra)
        with pytest.raises(ValueError, match=f"^{path}: no vocabularies that fit the model: "):
            TextModel.load(path)
    with pytest.raises(ValueError, match=r"^TextModel: vocabulary must have 7 tokens, got 6$"):
        TextModel(LanguageModel(7, 3, 4), Vocabulary("ab"))


@pytest.mark.parametrize("wrong", [np.array(["a", "b"]), ["a"], None, b"ab"])
def test_a_text_that_is_none(wrong: object, model: TextModel) -> None:
    calls = [
        lambda: TextModel.from_text(wrong, 3, 4),
        lambda: model.encode(wrong),
        lambda: model.evaluate(wrong),
        lambda: model.batches(wrong, batch_size=1, num_steps=2),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"^TextModel: text must be a str, got "):
            call()
    with pytest.raises(TypeError, match=r"^TextModel: start must be a str, got "):
        model.sample(3, start=wrong)
    with pytest.raises(TypeError, match=r"^text must be a str, got "):
        Vocabulary("ab", normalize=False).encode(wrong)


def test_batches_that_are_an_iterator(model: TextModel) -> None:
    with pytest.raises(TypeError, match=r"^LanguageModel: batches must be .*, got generator$"):
        model.model.perplexity(model.in_order(TEXT).epoch(0))


@pytest.mark.parametrize("level", ["char", "word"])
def test_spaces_there_and_back(level: str) -> None:
    text = "10\u00a0km\n\u3000a\u3000b c\n"
    model = TextModel.from_text(text, 3, 4, level=level, rng=0)
    assert model.decode(model.encode(text)) == text


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("level", ["char", "word"])
def test_a_stream_is_a_sample_in_pieces(
    cell: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "the cat\u00a0sat\n\n\u3000on the mat\n"
    model = TextModel.from_text(text, 3, 5, level=level, cell=cell, num_layers=2, rng=0)
    options = {"start": "the cat", "seed": 3, "temperature": 1.5, "top_k": 6, "top_p": 0.95}
    for length in (0, 1, 3, 4, 50):
        whole = model.sample(length, **options)
        assert list(model.stream(length, **options)) == [whole]
        with monkeypatch.context() as patched:
            patched.setattr(language_model, "_TOKENS_AT_ONCE", 3)
            pieces = list(model.stream(length, **options))
        assert len(pieces) == max(1, -(-length // 3)) and "".join(pieces) == whole
    assert model.model.training


def test_a_stream_of_any_length(model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "_WORK_AT_ONCE", 1)  # a token at once
    pieces = model.stream(10**15, start="the cat", seed=1)
    assert "".join(islice(pieces, 9)) == model.sample(9, start="the cat", seed=1)
    with pytest.raises(ValueError, match=r"^TextModel: start must have a token, got ''$"):
        model.stream(3, start="")
    with pytest.raises(ValueError, match=r"^LanguageModel: length must be at least 0, got -1$"):
        model.stream(-1)
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        next(model.stream(3, top_k=0))
