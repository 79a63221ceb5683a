"""The decoder with attention: gradients by finite differences, and what it says by other means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient
from support.problems import DECODER_CELLS, SCORES, decoder_problem

from fastrnn import _reference

CONTEXTS = ("input_feeding", "input")
KINDS = [
    {"layers": 1, "R": None},
    {"layers": 1, "R": 3, "ragged": True},
    {"layers": 3, "R": 3, "residual": True, "dropped": True, "ragged": True},
    {"layers": 4, "R": None, "residual": True},
    {"layers": 2, "R": 3, "dropped": True, "ended": True},
    {"layers": 1, "R": None, "ragged": True, "ended": True},
]


def assert_gradients(problem):
    """Compare every gradient with central differences."""
    gradients = problem.backward(_reference, problem.forward(_reference)[-1])
    assert gradients.keys() == problem.arguments.keys()

    def objective():
        return problem.objective(problem.forward(_reference, train=False))

    for name, array in problem.arguments.items():
        assert_close(gradients[name], numeric_gradient(objective, array), 1e-6, name)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("cell", ["lstm", "gru_after"])
def test_every_gradient_by_finite_differences(cell, context, kind):
    rng = np.random.default_rng(1)
    assert_gradients(decoder_problem(cell, rng, context=context, T=2, N=2, **kind))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("cell", ["rnn_tanh", "gru_before"])
def test_gradients_of_the_other_cells(cell, context):
    rng = np.random.default_rng(1)
    assert_gradients(decoder_problem(cell, rng, context=context, layers=2, T=2, N=2))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("score", SCORES)
def test_gradients_of_every_score(score, context):
    rng = np.random.default_rng(2)
    sizes = {"N": 2, "T": 2, "A": 2, "R": 2}
    assert_gradients(
        decoder_problem("rnn_tanh", rng, context=context, score=score, ragged=True, **sizes)
    )


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("score", SCORES)
def test_padding_reaches_nothing(score, context):
    problem = decoder_problem(
        "lstm", np.random.default_rng(3), context=context, score=score, ragged=True
    )
    clean = everything(problem)
    past = np.arange(4) >= problem.options["lengths"][:, None]
    problem.memory[past] = np.nan
    problem.upstream[1].swapaxes(1, 2)[past] = np.nan
    with np.errstate(invalid="raise"):
        np.testing.assert_equal(everything(problem), clean)
    assert not clean["d memory"][past].any()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("R", [None, 3])
def test_a_sequence_that_ends_is_one_of_fewer_steps(context, R):
    kind = {"layers": 3, "residual": True, "dropped": True, "ragged": True, "R": R, "N": 5, "T": 4}
    problem = decoder_problem("lstm", np.random.default_rng(6), context=context, ended=True, **kind)
    problem.options["steps"] = np.array([4, 0, 2, 1, 3])
    dfeatures, dattention, dfed, dstates = problem.upstream
    for n, steps in enumerate(problem.options["steps"]):
        problem.x[n, steps:] = dfeatures[n, steps:] = dattention[n, steps:] = np.nan
    together = everything(problem)
    for n, steps in enumerate(problem.options["steps"]):
        own, known = slice(n, n + 1), slice(0, steps)
        alone = everything(
            replace(
                problem,
                x=problem.x[own, known],
                fed=None if problem.fed is None else problem.fed[own],
                states=[state[:, own] for state in problem.states],
                memory=problem.memory[own],
                options={
                    **problem.options,
                    "steps": None,
                    "lengths": problem.options["lengths"][own],
                    "drops": problem.options["drops"][:, own, known],
                    "drop_h": problem.options["drop_h"][:, own],
                },
                upstream=[
                    dfeatures[own, known],
                    dattention[own, known],
                    None if dfed is None else dfed[own],
                    [dstate[:, own] for dstate in dstates],
                ],
            )
        )
        for name in ("features", "attention", "d x"):
            assert_close(together[name][n, :steps], alone[name][0], 1e-14, name)
            assert not together[name][n, steps:].any()
        for name in ("last state 0", "last state 1", "d state 0", "d state 1"):
            assert_close(together[name][:, n], alone[name][:, 0], 1e-14, name)
        for name in {"last fed", "d fed", "d memory"} & together.keys():
            assert_close(together[name][n], alone[name][0], 1e-14, name)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("R", [None, 3])
def test_two_calls_continue_where_one_goes_on(context, R):
    problem = decoder_problem(
        "lstm", np.random.default_rng(4), context=context, layers=3, residual=True, R=R, T=5
    )
    features, attention, last, finals, _ = problem.forward(_reference, train=False)
    parts, fed, states = [], problem.fed, problem.states
    for steps in (slice(0, 2), slice(2, 5)):
        part = replace(problem, x=problem.x[:, steps], fed=fed, states=states)
        *results, fed, states, _ = part.forward(_reference, train=False)
        parts.append(results)
    for array, pair in zip((features, attention), zip(*parts, strict=True), strict=True):
        assert_close(np.concatenate(pair, axis=1), array, 1e-14)
    np.testing.assert_allclose(states, finals, rtol=1e-13)
    if context == "input_feeding":
        assert_close(fed, last, 1e-14)


@pytest.mark.parametrize("cell", DECODER_CELLS)
@pytest.mark.parametrize("R", [None, 3])
@pytest.mark.parametrize(("N", "T", "S"), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_do_or_to_attend_to(cell, R, N, T, S):
    for context in CONTEXTS:
        problem = decoder_problem(
            cell, np.random.default_rng(5), context=context, R=R, N=N, T=T, S=S
        )
        results = problem.forward(_reference)
        gradients = problem.backward(_reference, results[-1])
        assert results[0].shape == (N, T, 5 if R is None else R)
        assert results[1].shape == (N, T, S)
        for name, array in problem.arguments.items():
            assert gradients[name].shape == array.shape, name
        if T == 0:
            np.testing.assert_equal(results[3], problem.states)
            np.testing.assert_equal(gradients["state 0"], problem.upstream[3][0])
            if context == "input_feeding":
                np.testing.assert_equal(gradients["fed"], problem.upstream[2])


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(("N", "T"), [(3, 4), (0, 2), (2, 0)])
def test_an_embedding_is_looked_up(context, N, T):
    rng = np.random.default_rng(7)
    problem = decoder_problem("lstm", rng, context=context, ended=True, N=N, T=T)
    ids, embedding = rng.integers(0, 5, (N, T)), rng.standard_normal((5, 3))
    problem.x = embedding[ids]
    wanted = everything(problem)
    table = np.zeros((5, 3))
    np.add.at(table, ids, wanted["d x"])
    problem.x = ids
    problem.kind["embedding"] = embedding
    np.testing.assert_equal(everything(problem), wanted | {"d x": table})


def everything(problem):
    results = problem.forward(_reference)
    gradients = problem.backward(_reference, results[-1])
    return {**problem.outputs(results), **{f"d {name}": d for name, d in gradients.items()}}
