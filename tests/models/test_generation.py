from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.backends import needs_kernels

import fastrnn
from fastrnn import models
from fastrnn.models import Hypothesis, LanguageModel, Seq2Seq, Translation, Translator

EOS = 2
OPTIONS: list[dict[str, Any]] = [
    {"attention": "general", "bidirectional_encoder": True, "num_layers": 2, "decoder_layers": 1},
    {"attention": "additive", "context": "input_feeding", "readout": "tanh", "cell": "gru"},
    {"attention": "dot", "context": "input", "reverse_source": True, "peeky": True},
    {"attention": "multi_head", "num_heads": 2, "bridge": "tanh"},
    {"cell": "rnn", "tie_embeddings": True, "embedding_size": 4},
]


def make(rng: int = 0, **options: Any) -> Seq2Seq:
    model = Seq2Seq(9, 8, **{"embedding_size": 3, "hidden_size": 4, "rng": rng, **options})
    for name, param in model.params.items():
        if name.startswith("decoder."):
            param *= 2  # so that targets differ
    return model


def random_source(rng: np.random.Generator, count: int, steps: int = 6) -> tuple[Any, Any]:
    """Sources with garbage behind their lengths."""
    return rng.integers(3, 9, (count, steps)), rng.integers(1, steps + 1, count)


def same(first: Hypothesis, second: Hypothesis) -> bool:
    """Whether everything but the attention is equal, bit by bit."""
    return first[1:4] == second[1:4] and first.tokens.tolist() == second.tokens.tolist()


@needs_kernels  # NumPy's products differ by an ulp for other sizes
@settings(deadline=None, max_examples=25)
@given(
    options=st.sampled_from(OPTIONS),
    dtype=st.sampled_from(["float32", "float64"]),
    count=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    order=st.randoms(use_true_random=False),
)
def test_reordering_padding_or_splitting_a_batch_changes_no_output(
    options: dict[str, Any], dtype: str, count: int, seed: int, order: Any
) -> None:
    rng = np.random.default_rng(seed)
    model = make(seed, dtype=dtype, **options).eval()
    source, lengths = random_source(rng, count)
    search = {"beam_size": 3, "n_best": 2, "max_length": 7, "length_penalty": 0.5}

    def everything(source: Any, lengths: Any) -> list[tuple[Any, ...]]:
        ids = model.generate(source, lengths, max_length=7)
        drawn = model.sample(source, lengths, max_length=7, top_p=0.9, seed=4)
        beams = model.beam_search(source, lengths, **search)
        return [
            (*(np.trim_zeros(row[n], "b").tolist() for row in (ids, drawn)), beams[n])
            for n in range(len(source))
        ]

    def assert_same(found: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]]) -> None:
        for (*tokens, beams), (*other_tokens, others) in zip(found, wanted, strict=True):
            assert tokens == other_tokens
            assert len(beams) == len(others)
            assert all(map(same, beams, others))

    together = everything(source, lengths)
    shuffled = list(range(count))
    order.shuffle(shuffled)
    assert_same(everything(source[shuffled], lengths[shuffled]), [together[n] for n in shuffled])
    padded = np.pad(source, ((0, 0), (0, 3)), constant_values=5)
    assert_same(everything(padded, lengths), together)
    for n, length in enumerate(lengths):
        assert_same(everything(source[n : n + 1, :length], None), [together[n]])


@pytest.mark.parametrize("options", OPTIONS)
def test_both_backends_find_the_same(options: dict[str, Any]) -> None:
    model = make(3, dtype=np.float64, **options).eval()
    source, lengths = random_source(np.random.default_rng(3), 5)
    attends = "attention" in options

    def search() -> list[list[Hypothesis]]:
        return model.beam_search(
            source,
            lengths,
            beam_size=4,
            n_best=4,
            max_length=8,
            length_penalty=0.7,
            coverage_penalty=0.1 * attends,
            return_attention=attends,
        )

    actual = search()
    with fastrnn.backend("reference"):
        wanted = search()
    for results, expected in zip(actual, wanted, strict=True):
        for result, other in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result.tokens, other.tokens)
            np.testing.assert_allclose(result[1:4], other[1:4], rtol=1e-9)
            if attends:
                np.testing.assert_allclose(result.attention, other.attention, atol=1e-9)
            else:
                assert result.attention is None


def test_a_beam_of_one_is_what_generate_gives_with_its_attention() -> None:
    model = make(2, attention="dot", reverse_source=True)
    source, lengths = random_source(np.random.default_rng(2), 8)
    ids, weights = model.generate(source, lengths, max_length=6, return_attention=True)
    found = model.beam_search(source, lengths, beam_size=1, max_length=6, return_attention=True)
    for row, rows, (best,) in zip(ids, weights, found, strict=True):
        length = len(best.tokens)
        np.testing.assert_array_equal(
            [*best.tokens, *[EOS] * best.finished], row[: length + best.finished]
        )
        np.testing.assert_array_equal(best.attention, rows[:length])


def test_samples_follow_seed_and_temperature() -> None:
    model = make(1, attention="general", dropout=0.5)
    source, lengths = random_source(np.random.default_rng(1), 6)
    greedy = model.generate(source, lengths, max_length=9)
    np.testing.assert_array_equal(
        model.sample(source, lengths, temperature=0, max_length=9), greedy
    )
    np.testing.assert_array_equal(model.sample(source, lengths, top_k=1, max_length=9), greedy)
    hot: dict[str, Any] = {"temperature": 5.0, "max_length": 9}
    first = model.sample(source, lengths, seed=1, **hot)
    np.testing.assert_array_equal(first, model.sample(source, lengths, seed=[1] * 6, **hot))
    assert first.tolist() != model.sample(source, lengths, seed=2, **hot).tolist()
    assert model.training


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("beam_search", {"beam_size": 0}, "Decoder: beam_size must be at least 1, got 0"),
        ("beam_search", {"n_best": 6}, "Decoder: n_best must be at most beam_size, 5, got 6"),
        ("beam_search", {"coverage_penalty": 1}, "Decoder: coverage_penalty needs attention"),
        ("beam_search", {"return_attention": True}, "Seq2Seq: return_attention needs a model with"),
        ("beam_search", {"max_length": 0}, "Seq2Seq: max_length must be at least 1, got 0"),
        ("sample", {"temperature": -1}, r"Decoder: temperature must be in \[0, inf\), got -1"),
        ("sample", {"top_p": 1.5}, r"Decoder: top_p must be in \(0, 1\], got 1.5"),
        ("sample", {"lengths": [3]}, r"Seq2Seq: lengths must be in 0\.\.2, got 3"),
        ("generate", {"source": [[99]]}, r"Seq2Seq: source must be in 0\.\.8, got 99"),
    ],
)
def test_wrong_arguments(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        getattr(make(), method)(**{"source": [[3, 4]], **options})


@pytest.fixture(scope="module")
def translator() -> Translator:
    pairs = [("ab", "BA"), ("abc", "CBA"), ("c", "C")]
    translator = Translator.from_pairs(pairs, 4, 6, attention="dot", rng=5)
    for param in translator.model.params.values():
        param *= 2
    return translator


def test_n_best_translations(translator: Translator) -> None:
    texts = ["abc", "", "b"]
    found = translator.n_best(texts, beam_size=4, n_best=3, max_length=6, return_attention=True)
    assert [len(results) for results in found] == [3, 1, 3]
    assert found[1][0][:3] == ("", 0.0, 0.0)
    for text, results in zip(texts, found, strict=True):
        scores = [result.score for result in results]
        assert scores == sorted(scores, reverse=True)
        for result in results:
            assert isinstance(result, Translation)
            assert result.attention is not None
            assert result.attention.source == list(text)
            assert result.attention.weights.shape == (len(result.attention.target), len(text))
    wide = {"beam_size": 4, "max_length": 6}
    assert translator(texts, **wide) == [results[0].text for results in found]  # type: ignore[arg-type]
    plain = translator.n_best(texts, beam_size=4, n_best=3, max_length=6)
    assert [r.text for results in plain for r in results] == [
        r.text for results in found for r in results
    ]
    assert plain[0][0].attention is None
    assert translator.n_best([]) == []


def test_wrong_translations(translator: Translator) -> None:
    with pytest.raises(TypeError, match=r"^Translator: texts must be several strings, got one"):
        translator.n_best("ab")
    with pytest.raises(ValueError, match=r"^Decoder: beam_size must be at least 1, got 0"):
        translator(["ab"], beam_size=0)
    with pytest.raises(
        ValueError, match=r"^Seq2Seq: return_attention needs a model with attention"
    ):
        Translator.from_pairs([("a", "b")], 3, 4, rng=1).attention("a")


def test_a_language_model_draws_from_the_likeliest() -> None:
    model = LanguageModel(7, 4, 4, rng=0)
    likeliest = model.sample([1], 20, temperature=0)
    np.testing.assert_array_equal(model.sample([1], 20, top_k=1, seed=3), likeliest)
    np.testing.assert_array_equal(model.sample([1], 20, top_p=1e-6, seed=3), likeliest)
    first = {int(model.sample([1], 1, top_k=2, temperature=50.0, seed=s)[0]) for s in range(40)}
    assert len(first) == 2


def test_what_generation_returns_is_exported() -> None:
    assert {"Hypothesis", "Translation"} <= set(models.__all__)
