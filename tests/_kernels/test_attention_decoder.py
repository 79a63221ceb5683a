"""The decoder with attention: kernels against the reference, and what they promise to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.problems import DECODER_CELLS, SCORES, decoder_problem

from fastrnn import _kernels, _reference

pytestmark = pytest.mark.usefixtures("isa")

WIDTHS = st.sampled_from([1, 2, 3, 5, 8, 9, 16, 17, 33])
CASES = st.fixed_dictionaries(
    {
        "variant": st.sampled_from(DECODER_CELLS),
        "context": st.sampled_from(["input_feeding", "input"]),
        "score": st.sampled_from(SCORES),
        "layers": st.integers(1, 4),
        "residual": st.booleans(),
        "dropped": st.booleans(),
        "ragged": st.booleans(),
        "ended": st.booleans(),
        "N": st.integers(0, 8),
        "T": st.integers(0, 4),
        "S": st.integers(0, 6),
        **dict.fromkeys(("E", "H", "M", "A"), WIDTHS),
        "R": st.none() | WIDTHS,
    }
)
SEEDS = st.integers(0, 2**32)
EXAMPLES = settings(deadline=None, max_examples=20)
# In float32, too, more than one chunk of `_kernels/backward.pyx`.
SEVERAL_CHUNKS = {"N": 46, "T": 30, "S": 4, "E": 70, "H": 120, "M": 40, "A": 24, "R": 70}


def random_problem(dtype, seed, case):
    return decoder_problem(rng=np.random.default_rng(seed), dtype=dtype, **case)


def everything(problem, module, *, num_threads=None, **options):
    """All that a forward and its backward return, by name."""
    results = problem.forward(module, num_threads=num_threads, **options)
    outputs = problem.outputs(results)
    gradients = problem.backward(module, results[-1], num_threads=num_threads)
    return {**outputs, **{f"d {name}": array for name, array in gradients.items()}}


@given(seed=SEEDS, case=CASES, upstream=st.booleans())
@EXAMPLES
def test_agrees_with_the_reference(dtype, assert_agree, seed, case, upstream):
    problem = random_problem(dtype, seed, case)
    exact = random_problem("float64", seed, case)
    if not upstream:
        problem.upstream[1] = exact.upstream[1] = None
    actual = everything(problem, _kernels)
    assert_agree(actual, everything(problem, _reference), everything(exact, _reference))


@given(seed=SEEDS, case=CASES)
@EXAMPLES
def test_inference_is_training_without_a_stash(dtype, seed, case):
    problem = random_problem(dtype, seed, case)
    wanted = problem.outputs(problem.forward(_kernels))
    results = problem.forward(_kernels, train=False)
    assert results[-1] is None
    np.testing.assert_equal(problem.outputs(results), wanted)


@given(seed=SEEDS, case=CASES)
@EXAMPLES
def test_each_sequence_is_computed_as_if_alone(dtype, seed, case):
    problem = random_problem(dtype, seed, case)
    together = everything(problem, _kernels)
    for n in range(case["N"]):
        results = everything(of_sequence(problem, slice(n, n + 1)), _kernels)
        for name in ("features", "attention", "last fed", "d x", "d fed", "d memory"):
            if name in together:
                np.testing.assert_array_equal(results[name][0], together[name][n], name)
        for name in together:
            if "state" in name:
                np.testing.assert_array_equal(results[name][:, 0], together[name][:, n], name)


def of_sequence(problem, own):
    """The problem of some sequences alone."""
    dfeatures, dattention, dfed, dstates = problem.upstream
    lengths, steps = problem.options["lengths"], problem.options["steps"]
    drops = (problem.options[name] for name in ("drops", "drop_h"))
    own_drops = [None if drop is None else np.ascontiguousarray(drop[:, own]) for drop in drops]
    return replace(
        problem,
        x=problem.x[own],
        fed=None if problem.fed is None else problem.fed[own],
        states=[np.ascontiguousarray(state[:, own]) for state in problem.states],
        memory=problem.memory[own],
        options={
            **problem.options,
            "lengths": None if lengths is None else lengths[own],
            "steps": None if steps is None else steps[own],
            **dict(zip(("drops", "drop_h"), own_drops, strict=True)),
        },
        upstream=[
            dfeatures[own],
            dattention[own],
            None if dfed is None else dfed[own],
            [np.ascontiguousarray(dstate[:, own]) for dstate in dstates],
        ],
    )


@pytest.mark.parametrize(
    "kind",
    [
        {"variant": "gru_before", "context": "input", "score": "additive"},
        {"variant": "lstm", "score": "multi_head", "layers": 3, "residual": True, "ended": True},
    ],
    ids=lambda kind: kind["variant"],
)
def test_large_calls_on_any_number_of_threads(dtype, assert_agree, kind):
    problem = random_problem(dtype, 1, {**SEVERAL_CHUNKS, **kind, "dropped": True, "ragged": True})
    alone = everything(problem, _kernels, num_threads=1)
    assert_agree(alone, everything(problem, _reference))
    for num_threads in (2, 3):
        np.testing.assert_equal(everything(problem, _kernels, num_threads=num_threads), alone)


@given(seed=SEEDS, case=CASES, garbage=st.sampled_from(["nan", "inf"]))
@EXAMPLES
def test_padding_of_the_memory_reaches_nothing(dtype, seed, case, garbage):
    problem = random_problem(dtype, seed, {**case, "ragged": True})
    clean = everything(problem, _kernels)
    past = np.arange(case["S"]) >= problem.options["lengths"][:, None]
    problem.memory[past] = garbage
    problem.upstream[1].swapaxes(1, 2)[past] = garbage
    np.testing.assert_equal(everything(problem, _kernels), clean)
    assert not clean["d memory"][past].any()
    assert not clean["attention"].swapaxes(1, 2)[past].any()


@given(seed=SEEDS, case=CASES, garbage=st.sampled_from(["nan", "inf"]))
@EXAMPLES
def test_what_follows_a_last_step_reaches_nothing(dtype, seed, case, garbage):
    problem = random_problem(dtype, seed, {**case, "ended": True})
    clean = everything(problem, _kernels)
    past = np.arange(case["T"]) >= problem.options["steps"][:, None]
    for array in (problem.x, *problem.upstream[:2]):
        array[past] = garbage
    if problem.options["drops"] is not None:
        problem.options["drops"][:, past] = garbage
    np.testing.assert_equal(everything(problem, _kernels), clean)
    for name in ("features", "attention", "d x"):
        assert not clean[name][past].any(), name


def on_rows(problem, rng, V, **options):
    """The problem on vectors of an embedding; then everything, on the numbers of its rows."""
    N, T, E = problem.x.shape
    embedding = rng.standard_normal((V, E)).astype(problem.x.dtype)
    ids = rng.integers(0, V, (N, T))
    problem.x = embedding[ids]
    taking = replace(problem, x=ids, kind={**problem.kind, "embedding": embedding})
    return taking, everything(taking, _kernels, **options)


@given(seed=SEEDS, case=CASES, V=st.integers(1, 12))
@EXAMPLES
def test_rows_of_an_embedding_are_as_good_as_vectors(dtype, assert_agree, seed, case, V):
    problem = random_problem(dtype, seed, case)
    taking, actual = on_rows(problem, np.random.default_rng(seed), V)
    vectors = everything(problem, _kernels)
    ran = np.ones(taking.x.shape, bool)
    if (steps := problem.options["steps"]) is not None:
        ran = np.arange(case["T"]) < steps[:, None]
    wanted = everything(problem, _reference)
    wanted["d x"] = _reference.embedding_backward(wanted["d x"][ran], taking.x[ran], V)
    assert_agree(actual, wanted)
    for name in problem.outputs(problem.forward(_kernels)):
        np.testing.assert_array_equal(actual[name], vectors[name], name)


@pytest.mark.parametrize("variant", DECODER_CELLS)
def test_rows_of_an_embedding_on_any_number_of_threads(dtype, variant):
    case = {**SEVERAL_CHUNKS, "variant": variant, "ragged": True, "ended": True}
    problem = random_problem(dtype, 4, case)
    taking, alone = on_rows(problem, np.random.default_rng(4), 21, num_threads=1)
    for num_threads in (2, 3):
        np.testing.assert_equal(everything(taking, _kernels, num_threads=num_threads), alone)


def test_what_becomes_of_ids_and_steps_does_not_matter_to_the_backward(dtype):
    problem = random_problem(dtype, 5, {"variant": "lstm", "ended": True, "N": 5, "T": 6})
    taking, wanted = on_rows(problem, np.random.default_rng(5), 4)
    stash = taking.forward(_kernels)[-1]
    taking.x[...] = taking.options["steps"][...] = 10**12
    for name, gradient in taking.backward(_kernels, stash).items():
        np.testing.assert_array_equal(gradient, wanted[f"d {name}"], name)


@given(seed=SEEDS, case=CASES)
@EXAMPLES
def test_strides_and_transposed_weights_change_nothing(dtype, seed, case):
    def spread(array):
        return np.concatenate([array, np.full_like(array, np.nan)], axis=2)[:, :, : array.shape[2]]

    problem = random_problem(dtype, seed, case)
    dfeatures, dattention, *rest = problem.upstream
    strided = replace(
        problem,
        x=spread(problem.x),
        memory=spread(problem.memory),
        upstream=[spread(dfeatures), spread(dattention), *rest],
        cells=[
            tuple(array if array is None else np.asfortranarray(array) for array in cell)
            for cell in problem.cells
        ],
    )
    np.testing.assert_equal(everything(strided, _kernels), everything(problem, _kernels))
    taking, wanted = on_rows(problem, np.random.default_rng(seed), 3)
    taking.cells = strided.cells
    np.testing.assert_equal(everything(taking, _kernels), wanted)


@given(
    seed=SEEDS,
    case=CASES.map(lambda case: {**case, "N": case["N"] + 2, "T": case["T"] + 1, "S": 3}),
    where=st.sampled_from(["x", "memory", "weight 0", "readout 0", "cell 0 weight 1", "state 0"]),
)
@EXAMPLES
def test_nan_goes_where_it_goes_in_the_reference(dtype, seed, case, where):
    problem = random_problem(dtype, seed, {**case, "ragged": False})
    array = problem.arguments.get(where, problem.x)
    array.flat[np.random.default_rng(seed).integers(array.size)] = np.nan
    with np.errstate(invalid="ignore"):
        wanted = everything(problem, _reference)
    for name, array in everything(problem, _kernels).items():
        np.testing.assert_array_equal(np.isnan(array), np.isnan(wanted[name]), name)


@pytest.mark.parametrize("context", ["input_feeding", "input"])
@pytest.mark.parametrize("R", [None, 7])
def test_a_stash_serves_twice_and_arguments_survive(dtype, context, R):
    case = {"variant": "lstm", "context": context, "R": R, "layers": 3, "dropped": True}
    problem = random_problem(dtype, 2, case)
    dfeatures, dattention, dfed, dstates = problem.upstream
    upstream = [array for array in (dfeatures, dattention, dfed, *dstates) if array is not None]
    arguments = [*problem.arguments.values(), *upstream]
    arguments += [problem.options["drops"], problem.options["drop_h"]]
    before = [array.copy() for array in arguments]
    results = problem.forward(_kernels)
    first = problem.backward(_kernels, results[-1])
    wanted = {name: array.copy() for name, array in first.items()}
    for array in (*problem.outputs(results).values(), *first.values()):
        assert not any(np.shares_memory(array, argument) for argument in arguments)
        array[...] = np.nan
    np.testing.assert_equal(problem.backward(_kernels, results[-1]), wanted)
    np.testing.assert_equal(arguments, before)


@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")
@pytest.mark.parametrize("what", ["memory", "readout", "weights", "cells", "embedding"])
def test_a_backward_after_an_argument_was_reshaped(what):
    problem = random_problem("float32", 3, {"variant": "lstm", "M": 4})
    if what == "embedding":
        problem, _ = on_rows(problem, np.random.default_rng(3), 4)
    stash = problem.forward(_kernels)[-1]
    array = {
        "embedding": problem.kind.get("embedding"),
        "memory": problem.memory,
        "readout": problem.readout[0],
        "weights": problem.weights[0],
        "cells": problem.cells[0][0],
    }[what]
    array.shape = (1, *array.shape[:-2], array.size // np.prod(array.shape[:-2], dtype=int))
    with pytest.raises(ValueError, match=r"^backward: .* must have the shapes that forward found"):
        problem.backward(_kernels, stash)
