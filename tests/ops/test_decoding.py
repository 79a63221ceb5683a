"""What decoding finds, on both backends, and the arguments that it refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from support.backends import BACKENDS
from support.decoders import CELLS, CONTEXTS, END, random_decoder

from fastrnn import ops
from fastrnn.ops import DecoderWeights

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


def log_probabilities(problem: Any, n: int, targets: list[tuple[int, ...]], backend: str) -> Any:
    """Of some targets of equal length of sentence n, by feeding them."""
    weights, states, given = problem
    count, length = len(targets), len(targets[0])
    decoded = ops.decode_greedy(
        weights,
        [np.repeat(state[:, n : n + 1], count, axis=1) for state in states],
        **{name: np.repeat(array[n : n + 1], count, axis=0) for name, array in given.items()},
        end=None,
        max_length=length,
        forced=targets,
        use_forced=np.ones((count, length), bool),
        return_attention="memory" in given,
        backend=backend,
    )
    np.testing.assert_array_equal(decoded.tokens, targets)
    return decoded.log_probability, decoded.attention


def all_targets(vocabulary: int, longest: int) -> list[list[tuple[int, ...]]]:
    """Every target that a search may find, by length: ended, or as long as may be."""
    others = [token for token in range(vocabulary) if token != END]
    found = [
        [(*tokens, END) for tokens in product(others, repeat=length - 1)]
        for length in range(1, longest + 1)
    ]
    return [*found, list(product(others, repeat=longest))]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.8, 0.0), (1.0, 0.5)])
def test_a_beam_as_wide_as_all_targets_finds_the_best(
    backend: str, context: str | None, penalties: tuple[float, float]
) -> None:
    alpha, beta = penalties
    beta = beta if context else 0.0
    problem = random_decoder(np.random.default_rng(3), context=context, V=4, S=4)
    weights, states, given = problem
    found = ops.decode_beam(
        weights,
        states,
        **given,
        beam_size=81,
        n_best=30,
        max_length=4,
        length_penalty=alpha,
        coverage_penalty=beta,
        backend=backend,
    )
    for n, results in enumerate(found):
        every: list[tuple[float, float, tuple[int, ...]]] = []
        for targets in all_targets(4, 4):
            totals, all_attention = log_probabilities(problem, n, targets, backend)
            scores = totals / ((5 + len(targets[0])) / 6) ** alpha
            if beta:
                coverage = all_attention.sum(axis=1)[:, : given["lengths"][n]]
                scores = scores + beta * np.log(np.minimum(coverage, 1)).sum(axis=1)
            every += zip(scores, totals, targets, strict=True)
        every.sort(key=lambda entry: -entry[0])
        assert len(results) == 30
        for result, (score, total, target) in zip(results, every, strict=False):
            assert result.score == pytest.approx(score, rel=1e-9)
            assert result.log_probability == pytest.approx(total, rel=1e-9)
            assert result.finished == (target[-1] == END)
            assert (*result.tokens, *[END] * result.finished) == target


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("cell", CELLS)
def test_a_beam_of_one_is_greedy(backend: str, cell: str, context: str | None) -> None:
    rng = np.random.default_rng(4)
    weights, states, given = random_decoder(rng, cell, context, N=12, P=2)
    greedy = ops.decode_greedy(weights, states, **given, max_length=8, backend=backend)
    found = ops.decode_beam(weights, states, **given, beam_size=1, max_length=8, backend=backend)
    assert len(set(greedy.lengths)) > 1
    for n, (only,) in enumerate(found):
        own = greedy.tokens[n, : greedy.lengths[n]]
        assert only.finished == (own[-1] == END)
        np.testing.assert_array_equal([*only.tokens, *[END] * only.finished], own)
        assert only.log_probability == only.score == pytest.approx(greedy.log_probability[n])


def test_a_longer_target_wins_by_the_length_penalty(backend: str) -> None:
    """A decoder that does not listen: every token has the same probability at each step."""
    weights, states, given = random_decoder(np.random.default_rng(5), V=4, N=1)
    W, b = weights.output
    b[...] = np.log([0.6, 0.05, 0.3, 0.05])  # token 0 goes on, 2 ends
    weights = replace(weights, output=(0 * W, b))
    lengths = []
    for alpha in (0.0, 1.0, 2.0):
        (results,) = ops.decode_beam(
            weights, states, **given, max_length=6, length_penalty=alpha, n_best=3, backend=backend
        )
        ended = [(t * np.log(0.6) + np.log(0.3), t + 1) for t in range(6)]
        scores = [p / ((5 + t) / 6) ** alpha for p, t in [*ended, (6 * np.log(0.6), 6)]]
        assert [r.score for r in results] == pytest.approx(sorted(scores, reverse=True)[:3])
        lengths.append(len(results[0].tokens))
    assert lengths == [0, 0, 6]


def test_a_length_penalty_beyond_all_measure(backend: str) -> None:
    """Every divisor is infinite but that of one token; no tokens at all still have a score."""
    weights, states, given = random_decoder(np.random.default_rng(16))
    options: dict[str, Any] = {"max_length": 6, "length_penalty": 1e308, "backend": backend}
    found = ops.decode_beam(weights, states, **given, **options)
    assert all(results[0].score == 0 > results[0].log_probability for results in found)
    weights.output[1][:] = np.nan
    for (nothing,) in ops.decode_beam(weights, states, **given, **options):
        assert (len(nothing.tokens), nothing.score, nothing.finished) == (0, 0, False)


def test_decoding_stops_at_the_end_mark_or_at_max_length(backend: str) -> None:
    weights, states, given = random_decoder(np.random.default_rng(6), N=20)
    options: dict[str, Any] = {"max_length": 6, "return_attention": True, "backend": backend}
    decoded = ops.decode_greedy(weights, states, **given, **options)
    assert decoded.tokens.shape[1] == decoded.lengths.max() == 6 > decoded.lengths.min()
    assert decoded.attention is not None
    for tokens, rows, length, keys in zip(
        decoded.tokens, decoded.attention, decoded.lengths, given["lengths"], strict=True
    ):
        assert END not in tokens[: length - 1] and not tokens[length:].any()
        assert length == 6 or tokens[length - 1] == END
        np.testing.assert_allclose(rows[:length].sum(axis=1), float(keys > 0))
        assert not rows[length:].any() and not rows[:, keys:].any()
    endless = ops.decode_greedy(weights, states, **given, end=None, **options)
    assert (endless.lengths == 6).all()
    for own, tokens, length in zip(endless.tokens, decoded.tokens, decoded.lengths, strict=True):
        np.testing.assert_array_equal(own[:length], tokens[:length])


def test_tokens_that_are_given_are_fed(backend: str) -> None:
    rng = np.random.default_rng(7)
    weights, states, given = random_decoder(rng, context="input_feeding", N=30)
    forced, use = rng.integers(0, 7, (30, 5)), rng.random((30, 5)) < 0.5
    options: dict[str, Any] = {"end": None, "max_length": 5, "backend": backend}
    mixed = ops.decode_greedy(
        weights, states, **given, forced=forced, use_forced=use, **options
    ).tokens
    np.testing.assert_array_equal(mixed[use], forced[use])
    again = ops.decode_greedy(
        weights, states, **given, forced=mixed, use_forced=np.tile([True] * 4 + [False], (30, 1)),
        **options,
    ).tokens  # fmt: skip
    np.testing.assert_array_equal(again[~use[:, 4]], mixed[~use[:, 4]])
    assert (mixed != forced).any()


def test_excluded_tokens_are_never_chosen(backend: str) -> None:
    weights, states, given = random_decoder(np.random.default_rng(8), N=30)
    exclude = np.array([True, True, False, True, False, False, False])
    options: dict[str, Any] = {"exclude": exclude, "max_length": 5, "backend": backend}
    greedy = ops.decode_greedy(weights, states, **given, **options)
    sampled = ops.decode_sample(weights, states, **given, temperature=9.0, seed=1, **options)
    beams = ops.decode_beam(weights, states, **given, beam_size=50, n_best=9, **options)
    lists = [*(d.tokens[n, :k] for d in (greedy, sampled) for n, k in enumerate(d.lengths))]
    lists += [result.tokens for results in beams for result in results]
    assert set(np.concatenate(lists).tolist()) == {2, 4, 5, 6}
    # What is left has the whole probability.
    only = np.arange(7) != END
    alone = ops.decode_greedy(weights, states, **given, **(options | {"exclude": only}))
    np.testing.assert_allclose(alone.log_probability, 0, atol=1e-12)


def first_tokens(backend: str, **options: Any) -> tuple[Any, Any]:
    """The frequencies of drawn tokens, and the logits that they were drawn from."""
    count = 4000 if backend == "compiled" else 800
    weights, states, given = random_decoder(np.random.default_rng(9), N=1, H=3)
    states = [np.repeat(state, count, axis=1) for state in states]
    given = {name: np.repeat(array, count, axis=0) for name, array in given.items()}
    decoded = ops.decode_sample(
        weights, states, **given, max_length=1, seed=np.arange(count), backend=backend, **options
    )
    logits = [
        log_probabilities((weights, states, given), 0, [(token,)], backend)[0][0]
        for token in range(7)
    ]
    return np.bincount(decoded.tokens[:, 0], minlength=7) / count, np.array(logits)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_samples_have_the_frequencies_of_the_softmax(backend: str, temperature: float) -> None:
    frequencies, logits = first_tokens(backend, temperature=temperature)
    wanted = np.exp(logits / temperature)
    np.testing.assert_allclose(frequencies, wanted / wanted.sum(), atol=0.05)


def test_top_k_and_top_p_keep_the_likeliest(backend: str) -> None:
    _, logits = first_tokens(backend)
    order, p = np.argsort(-logits), np.exp(logits)
    for options, kept in (
        ({"top_k": 3}, order[:3]),
        ({"top_k": 99}, order),
        ({"top_p": float(p[order[:2]].sum()) - 1e-6}, order[:2]),
        ({"top_p": float(p[order[:2]].sum()) + 1e-6}, order[:3]),
        ({"top_p": 1e-9}, order[:1]),
        ({"top_p": 1.0}, order),
        # top_p is a share of what top_k has left
        ({"top_k": 3, "top_p": float(p[order[:2]].sum() / p[order[:3]].sum()) - 1e-6}, order[:2]),
    ):
        frequencies, _ = first_tokens(backend, **options)
        wanted = np.where(np.isin(np.arange(7), kept), p, 0)
        np.testing.assert_allclose(frequencies, wanted / wanted.sum(), atol=0.05)
        assert set(np.flatnonzero(frequencies)) <= set(kept)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"temperature": 1e-300}])
def test_sampling_without_chance_is_greedy(backend: str, options: dict[str, Any]) -> None:
    weights, states, given = random_decoder(np.random.default_rng(10), N=9)
    greedy = ops.decode_greedy(weights, states, **given, max_length=7, backend=backend)
    sampled = ops.decode_sample(weights, states, **given, max_length=7, backend=backend, **options)
    np.testing.assert_array_equal(sampled.tokens, greedy.tokens)
    np.testing.assert_array_equal(sampled.log_probability, greedy.log_probability)


def test_draws_depend_on_the_seed_alone(backend: str) -> None:
    weights, states, given = random_decoder(np.random.default_rng(11), N=6)

    def draw(seed: Any) -> Any:
        return ops.decode_sample(
            weights,
            states,
            **given,
            temperature=3.0,
            seed=seed,
            end=None,
            max_length=9,
            backend=backend,
        ).tokens

    np.testing.assert_array_equal(draw(1), draw(1))
    np.testing.assert_array_equal(draw(1), draw([1] * 6))
    assert (draw(1) != draw(2)).any()
    assert (draw(None) != draw(None)).any()


def test_an_empty_batch_and_an_empty_memory(backend: str) -> None:
    rng = np.random.default_rng(12)
    for N, S in ((0, 4), (3, 0)):
        weights, states, given = random_decoder(rng, N=N, S=S)
        decoded = ops.decode_greedy(
            weights, states, **given, return_attention=True, backend=backend
        )
        assert len(decoded.tokens) == len(decoded.lengths) == N
        assert decoded.attention is not None
        assert decoded.attention.shape == (*decoded.tokens.shape, S)
        found = ops.decode_beam(weights, states, **given, coverage_penalty=1.0, backend=backend)
        assert [len(results) for results in found] == [1] * N


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (ops.decode_beam, {"beam_size": 0}, "beam_size must be at least 1, got 0"),
    (ops.decode_beam, {"beam_size": 5000}, "beam_size must be at most 4096, got 5000"),
    (ops.decode_beam, {"beam_size": 2, "n_best": 3}, "n_best must be at most beam_size, 2, got 3"),
    (ops.decode_beam, {"n_best": 0}, "n_best must be at least 1, got 0"),
    (ops.decode_beam, {"length_penalty": -1}, r"length_penalty must be in \[0, inf\), got -1"),
    (ops.decode_beam, {"coverage_penalty": np.nan}, "coverage_penalty must be in .*, got nan"),
    (ops.decode_beam, {"end": None}, "end must be a token in a beam search, got None"),
    (ops.decode_beam, {"end": 7}, r"end must be in 0\.\.6, got 7"),
    (ops.decode_sample, {"temperature": -0.1}, r"temperature must be in \[0, inf\), got -0.1"),
    (ops.decode_sample, {"top_p": 0}, r"top_p must be in \(0, 1\], got 0"),
    (ops.decode_sample, {"top_p": 1.5}, r"top_p must be in \(0, 1\], got 1.5"),
    (ops.decode_sample, {"top_k": 0}, "top_k must be at least 1, got 0"),
    (ops.decode_sample, {"seed": [[1], [2, 3]]}, "seed must be an array, got a ragged list"),
    (ops.decode_sample, {"seed": -1}, "seed must be at least 0, got -1"),
    (ops.decode_sample, {"seed": [1, 2]}, r"seed must have shape \(4,\), got \(2,\)"),
    (ops.decode_greedy, {"max_length": 0}, "max_length must be at least 1, got 0"),
    (ops.decode_greedy, {"start": 7}, r"start must be in 0\.\.6, got 7"),
    (ops.decode_greedy, {"start": [[1], [2, 3]]}, "start must be an array, got a ragged list"),
    (ops.decode_greedy, {"forced": [[1]] * 4}, "forced and use_forced must come together"),
    (ops.decode_greedy, {"exclude": [True] * 7}, "exclude must leave one of the 7 tokens"),
    (ops.decode_greedy, {"exclude": [0, 1]}, "exclude must be bool, got int64"),
    (ops.decode_greedy, {"lengths": [9] * 4}, r"lengths must be in 0\.\.5, got 9"),
    (ops.decode_greedy, {"memory": None, "lengths": None}, "memory must be an array for context"),
    (ops.decode_greedy, {"weights": 3}, "weights must be DecoderWeights, got int"),
    (ops.decode_greedy, {"states": []}, r"states must be \[h, c\] for lstm, got 0"),
    (ops.decode_greedy, {"constant": np.zeros((4, 2))}, "Wx_l0 must have 3 \\+ 2 rows .*, got 3"),
]


@pytest.mark.parametrize(("function", "options", "message"), REFUSED)
def test_wrong_arguments(
    backend: str, function: Any, options: dict[str, Any], message: str
) -> None:
    weights, states, given = random_decoder(np.random.default_rng(13))
    arguments = {"weights": weights, "states": states, **given, **options}
    with pytest.raises((ValueError, TypeError), match=f"^Decoder: {message}"):
        function(**arguments, backend=backend)


WRONG_WEIGHTS: list[tuple[dict[str, Any], str]] = [
    ({"context": "inside"}, "context must be one of output, input_feeding, input, got 'inside'"),
    ({"cell": "gru"}, "cells must be .*Wx, Wh, b, bh"),
    ({"score": "dot", "weights": ()}, "memory must be as wide as the hidden state, 5, for score"),
    ({"num_heads": 2}, "num_heads must be 1 for score 'general', got 2"),
    ({"weights": ()}, r"weights must be \(W\) for general, got 0"),
    ({"embedding": np.zeros((7, 4))}, "Wx_l0 must have 4 rows .*, got 3"),
    ({"output": 1}, "output must be a matrix and its bias, got a int"),
    ({"output": (np.zeros((11, 8)), np.zeros(8))}, r"output\[0\] must have shape \(11, 7\)"),
    ({"readout": (np.zeros((3, 2)), np.zeros(2))}, r"Wc must have shape \(11, R\), got \(3, 2\)"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_WEIGHTS)
def test_wrong_weights(backend: str, change: dict[str, Any], message: str) -> None:
    weights, states, given = random_decoder(np.random.default_rng(14))
    with pytest.raises((ValueError, TypeError), match=f"^Decoder: {message}"):
        ops.decode_greedy(replace(weights, **change), states, **given, backend=backend)


def test_options_that_need_attention(backend: str) -> None:
    weights, states, _ = random_decoder(np.random.default_rng(15), context=None)
    assert isinstance(weights, DecoderWeights)
    for options, message in (
        ({"return_attention": True}, "return_attention needs attention"),
        ({"coverage_penalty": 0.5}, "coverage_penalty needs attention, got 0.5 without"),
        ({"lengths": [1] * 4}, "lengths must be None without a memory"),
    ):
        with pytest.raises(ValueError, match=f"^Decoder: {message}"):
            ops.decode_beam(weights, states, backend=backend, **options)  # type: ignore[arg-type]


def test_draws_that_go_on_where_another_call_ended(backend: str) -> None:
    weights, states, _ = random_decoder(np.random.default_rng(3), context=None, N=2)
    W, b = weights.output
    weights = replace(weights, output=(np.zeros_like(W), b))  # so that draws alone decide
    options: dict[str, Any] = {"seed": [5, 2**63 - 2], "end": None, "backend": backend}
    whole = ops.decode_sample(weights, states, max_length=6, **options).tokens
    assert len(set(map(tuple, whole.T.tolist()))) > 2
    for first in range(6):
        rest = ops.decode_sample(weights, states, max_length=6 - first, first=first, **options)
        np.testing.assert_array_equal(rest.tokens, whole[:, first:])
    with pytest.raises(ValueError, match=r"^Decoder: first must be at least 0, got -1$"):
        ops.decode_sample(weights, states, first=-1, backend=backend)
