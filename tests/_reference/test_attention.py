from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient, random_lengths, relative_error
from support.problems import SCORES, attention_problem

from fastrnn import _reference

FORMULAS = {
    "dot": lambda q, k: q @ k,
    "scaled_dot": lambda q, k: q @ k / np.sqrt(len(k)),
    "general": lambda q, k, W: q @ W @ k,
    "additive": lambda q, k, Wq, Wk, v: v @ np.tanh(q @ Wq + k @ Wk),
}


@pytest.fixture(params=SCORES)
def score(request):
    return request.param


@pytest.mark.parametrize("ragged", [False, True])
def test_every_gradient_by_finite_differences(score, ragged):
    rng = np.random.default_rng(0)
    problem = attention_problem(score, rng)
    lengths = random_lengths(rng, 4, 5) if ragged else None

    def objective():
        context, attention, _ = problem.forward(_reference, lengths=lengths, train=False)
        return np.sum(problem.dcontext * context) + np.sum(problem.dattention * attention)

    gradients = problem.backward(_reference, problem.forward(_reference, lengths=lengths)[2])
    for name, array in problem.arguments.items():
        assert_close(gradients[name], numeric_gradient(objective, array), 1e-7, name)


@pytest.mark.parametrize("score", FORMULAS)
def test_score_of_each_pair_by_its_formula(score):
    problem = attention_problem(score, np.random.default_rng(1))
    query, keys, values = problem.inputs.values()
    weights = tuple(problem.weights.values())
    context, attention, _ = problem.forward(_reference)
    for n in range(4):
        for i in range(3):
            scores = np.array([FORMULAS[score](query[n, i], k, *weights) for k in keys[n]])
            wanted = np.exp(scores) / np.exp(scores).sum()
            assert_close(attention[n, i], wanted, 1e-13)
            assert_close(context[n, i], sum(wanted[:, None] * values[n]), 1e-13)


def test_heads_are_scaled_dot_products_between_columns():
    problem = attention_problem("multi_head", np.random.default_rng(1), heads=3)
    *matrices, Wo = problem.weights.values()
    projected = {
        name: np.split(array @ W, 3, axis=2)
        for (name, array), W in zip(problem.inputs.items(), matrices, strict=True)
    }
    contexts, all_attention = [], []
    for i in range(3):
        inputs = {name: heads[i] for name, heads in projected.items()}
        head = replace(problem, score="scaled_dot", inputs=inputs, weights={}, heads=1)
        context, attention, _ = head.forward(_reference)
        contexts.append(context)
        all_attention.append(attention)
    context, attention, _ = problem.forward(_reference)
    assert_close(context, np.concatenate(contexts, axis=2) @ Wo, 1e-13)
    assert_close(attention, sum(all_attention) / 3, 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("garbage", [np.nan, np.inf])
def test_padding_reaches_nothing(score, dtype, garbage):
    rng = np.random.default_rng(2)
    problem = attention_problem(score, rng, dtype=dtype)
    lengths = random_lengths(rng, 4, 5)
    context, attention, stash = problem.forward(_reference, lengths=lengths)
    gradients = problem.backward(_reference, stash)

    padding = np.arange(5) >= lengths[:, None]
    problem.inputs["keys"][padding] = garbage
    problem.inputs["values"][padding] = garbage
    problem.dattention.swapaxes(1, 2)[padding] = garbage
    with np.errstate(invalid="raise"):
        context_again, attention_again, stash = problem.forward(_reference, lengths=lengths)
    gradients_again = problem.backward(_reference, stash)

    np.testing.assert_array_equal(context_again, context)
    np.testing.assert_array_equal(attention_again, attention)
    assert not attention.swapaxes(1, 2)[padding].any()
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradients_again[name], gradient, name)
    assert not gradients["keys"][padding].any()
    assert not gradients["values"][padding].any()


def test_each_sequence_is_computed_as_if_alone_and_unpadded(score):
    rng = np.random.default_rng(3)
    problem = attention_problem(score, rng)
    lengths = random_lengths(rng, 4, 5)
    context, attention, _ = problem.forward(_reference, lengths=lengths)
    query, keys, values = problem.inputs.values()
    for n, length in enumerate(lengths):
        wanted_context, wanted_attention, _ = _reference.attention_forward(
            query[n : n + 1],
            keys[n : n + 1, :length],
            values[n : n + 1, :length],
            tuple(problem.weights.values()),
            score=score,
            lengths=None,
            train=False,
            heads=problem.heads,
        )
        assert_close(context[n], wanted_context[0], 1e-13)
        assert_close(attention[n, :, :length], wanted_attention[0], 1e-13)


def test_length_zero(score):
    problem = attention_problem(score, np.random.default_rng(4), N=2)
    lengths = np.array([0, 5])
    with np.errstate(invalid="raise", divide="raise"):
        context, attention, stash = problem.forward(_reference, lengths=lengths)
        gradients = problem.backward(_reference, stash)
    assert not context[0].any()
    assert not attention[0].any()
    for name in problem.inputs:
        assert not gradients[name][0].any()
        assert gradients[name][1].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "Tq", "Tk"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (1, 1, 1), (2, 3, 4)])
def test_shapes_and_dtypes(score, dtype, N, Tq, Tk):
    rng = np.random.default_rng(5)
    problem = attention_problem(score, rng, N=N, Tq=Tq, Tk=Tk, dtype=dtype)
    for lengths in (None, random_lengths(rng, N, Tk)):
        context, attention, stash = problem.forward(_reference, lengths=lengths)
        assert (context.shape, context.dtype) == ((N, Tq, 2), dtype)
        assert (attention.shape, attention.dtype) == ((N, Tq, Tk), dtype)
        for name, gradient in problem.backward(_reference, stash).items():
            array = problem.arguments[name]
            assert (gradient.shape, gradient.dtype) == (array.shape, dtype), name


def test_float32_is_float64_rounded(score):
    results = []
    for dtype in (np.float32, np.float64):
        problem = attention_problem(score, np.random.default_rng(6), dtype=dtype)
        *outputs, stash = problem.forward(_reference)
        results.append((*outputs, *problem.backward(_reference, stash).values()))
    assert max(map(relative_error, *results)) < 1e-5


def test_no_gradient_of_the_weights_means_zeros(score):
    problem = attention_problem(score, np.random.default_rng(7))
    stash = problem.forward(_reference)[2]
    with_gradient = problem.backward(_reference, stash)
    problem.dattention[...] = 0
    zeros = problem.backward(_reference, stash)
    problem.dattention = None
    for name, gradient in problem.backward(_reference, stash).items():
        np.testing.assert_array_equal(gradient, zeros[name], name)
    assert relative_error(with_gradient["query"], zeros["query"]) > 0.01


def test_arguments_survive_and_no_stash_without_train(score):
    problem = attention_problem(score, np.random.default_rng(8))
    everything = {**problem.arguments, "c": problem.dcontext, "a": problem.dattention}
    before = {name: array.copy() for name, array in everything.items()}
    *outputs, stash = problem.forward(_reference)
    problem.backward(_reference, stash)
    *outputs_eval, none = problem.forward(_reference, train=False)
    assert none is None
    for actual, wanted in zip(outputs_eval, outputs, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    for name, array in everything.items():
        np.testing.assert_array_equal(array, before[name], name)


def test_nan_query_spreads_to_its_own_row_only(score):
    problem = attention_problem(score, np.random.default_rng(9))
    problem.inputs["query"][1, 2] = np.nan
    context, attention, _ = problem.forward(_reference)
    wanted = np.zeros((4, 3), bool)
    wanted[1, 2] = True
    np.testing.assert_array_equal(np.isnan(context).all(axis=2), wanted)
    np.testing.assert_array_equal(np.isnan(attention).any(axis=2), wanted)


def test_large_scores_do_not_overflow(score):
    problem = attention_problem(score, np.random.default_rng(10), dtype=np.float32)
    problem.inputs["query"] *= 1e4
    with np.errstate(over="raise", invalid="raise"):
        context, attention, _ = problem.forward(_reference)
    assert np.isfinite(context).all()
    np.testing.assert_allclose(attention.sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize("name", ["query", "dcontext"])
def test_nan_does_not_reach_the_gradient_of_padding(score, name):
    rng = np.random.default_rng(11)
    problem = attention_problem(score, rng)
    lengths = np.array([3, 2, 5, 1])
    (problem.inputs["query"] if name == "query" else problem.dcontext)[0] = np.nan
    stash = problem.forward(_reference, lengths=lengths)[2]
    gradients = problem.backward(_reference, stash)
    for array in ("keys", "values"):
        assert not gradients[array][0, 3:].any()
        assert np.isnan(gradients[array][0, :3]).all()
        assert np.isfinite(gradients[array][1:]).all()
