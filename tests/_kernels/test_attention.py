from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_lengths
from support.problems import SCORES, attention_problem

from fastrnn import _kernels, _reference

pytestmark = [pytest.mark.usefixtures("isa"), pytest.mark.parametrize("score", SCORES)]

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65])
SIZES = st.fixed_dictionaries(
    {
        "N": st.integers(0, 4),
        "Tq": st.integers(0, 8),
        **dict.fromkeys(("Dq", "Dk", "Dv", "A"), WIDTHS),
        "Tk": st.integers(0, 20),
        "heads": st.integers(1, 3),
    }
)
EXAMPLES = settings(deadline=None, max_examples=15)
LARGE = {"N": 8, "Tq": 20, "Tk": 30, "Dq": 130, "Dk": 131, "Dv": 140, "A": 133}


def random_problem(score, dtype, seed, sizes, ragged):
    """A random problem with scores of about 1, and the lengths of its keys."""
    rng = np.random.default_rng(seed)
    lengths = random_lengths(rng, sizes["N"], sizes["Tk"]) if ragged else None
    problem = attention_problem(score, rng, **sizes, dtype=dtype)
    problem.inputs["query"] /= np.sqrt(sizes["Dk"], dtype=dtype)
    for weight in problem.weights.values():
        weight /= np.sqrt(len(weight), dtype=dtype)
    return problem, lengths


def everything(problem, module, lengths, *, shared=False, **options):
    """All that a forward and its backward return, by name."""
    context, attention, stash = problem.forward(module, lengths=lengths, **options)
    gradients = problem.backward(module, stash, shared=shared, **options)
    return {
        "context": context,
        "attention": attention,
        **{f"d{name}": array for name, array in gradients.items()},
    }


@given(seed=st.integers(0, 2**32), sizes=SIZES, ragged=st.booleans(), upstream=st.booleans())
@EXAMPLES
def test_agrees_with_the_reference(score, dtype, assert_agree, seed, sizes, ragged, upstream):
    problem, lengths = random_problem(score, dtype, seed, sizes, ragged)
    if not upstream:
        problem.dattention = None
    wanted = everything(problem, _reference, lengths)
    actual = everything(problem, _kernels, lengths)
    assert_agree(actual, wanted)
    *outputs, none = problem.forward(_kernels, lengths=lengths, train=False)
    assert none is None
    np.testing.assert_equal(outputs, [actual["context"], actual["attention"]])


@pytest.mark.parametrize("ragged", [False, True])
def test_large_calls_on_any_number_of_threads(score, dtype, assert_agree, ragged):
    problem, lengths = random_problem(score, dtype, 1, LARGE, ragged)
    wanted = everything(problem, _reference, lengths)
    alone = everything(problem, _kernels, lengths, num_threads=1)
    assert_agree(alone, wanted)
    for num_threads in (2, 3):
        np.testing.assert_equal(
            everything(problem, _kernels, lengths, num_threads=num_threads), alone
        )


@given(seed=st.integers(0, 2**32), sizes=SIZES, ragged=st.booleans())
@EXAMPLES
def test_each_sequence_is_computed_as_if_alone(score, dtype, seed, sizes, ragged):
    problem, lengths = random_problem(score, dtype, seed, sizes, ragged)
    together = everything(problem, _kernels, lengths)
    for n in range(sizes["N"]):
        own = slice(n, n + 1)
        alone = replace(
            problem,
            inputs={name: array[own] for name, array in problem.inputs.items()},
            dcontext=problem.dcontext[own],
            dattention=problem.dattention[own],
        )
        results = everything(alone, _kernels, lengths[own] if ragged else None)
        for name in results.keys() - {f"d{name}" for name in problem.weights}:
            np.testing.assert_array_equal(results[name], together[name][own], name)


@given(seed=st.integers(0, 2**32), sizes=SIZES, garbage=st.sampled_from(["nan", "inf"]))
@EXAMPLES
def test_padding_reaches_nothing(score, dtype, seed, sizes, garbage):
    problem, lengths = random_problem(score, dtype, seed, sizes, True)
    clean = everything(problem, _kernels, lengths)
    padding = np.arange(sizes["Tk"]) >= lengths[:, None]
    problem.inputs["keys"][padding] = garbage
    problem.inputs["values"][padding] = garbage
    problem.dattention.swapaxes(1, 2)[padding] = garbage
    np.testing.assert_equal(everything(problem, _kernels, lengths), clean)
    for name in ("dkeys", "dvalues"):
        assert not clean[name][padding].any()
    assert not clean["attention"].swapaxes(1, 2)[padding].any()


@given(seed=st.integers(0, 2**32), sizes=SIZES, ragged=st.booleans())
@EXAMPLES
def test_strides_change_nothing(score, dtype, seed, sizes, ragged):
    def spread(array):
        return np.concatenate([array, np.full_like(array, np.nan)], axis=2)[:, :, : array.shape[2]]

    problem, lengths = random_problem(score, dtype, seed, sizes, ragged)
    strided = replace(
        problem,
        inputs={name: spread(array) for name, array in problem.inputs.items()},
        dcontext=spread(problem.dcontext),
        dattention=spread(problem.dattention),
    )
    np.testing.assert_equal(
        everything(strided, _kernels, lengths), everything(problem, _kernels, lengths)
    )


@given(
    seed=st.integers(0, 2**32),
    sizes=SIZES.map(lambda sizes: {name: size + 2 for name, size in sizes.items()}),
    where=st.sampled_from(["query", "keys", "values", "W", "Wq", "Wk", "v", "dcontext"]),
)
@EXAMPLES
def test_nan_goes_where_it_goes_in_the_reference(score, dtype, seed, sizes, where):
    rng = np.random.default_rng(seed)
    problem, _ = random_problem(score, dtype, seed, sizes, False)
    lengths = rng.integers(2, sizes["Tk"] + 1, sizes["N"])
    padding = np.arange(sizes["Tk"]) >= lengths[:, None]
    array = {**problem.arguments, "dcontext": problem.dcontext}.get(where, problem.dattention)
    array.flat[rng.integers(array.size)] = np.nan
    with np.errstate(invalid="ignore"):
        wanted = everything(problem, _reference, lengths)
    wanted["attention"].swapaxes(1, 2)[padding] = 0
    actual = everything(problem, _kernels, lengths)
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.isnan(actual[name]), np.isnan(array), name)
    for array in (actual["dkeys"], actual["dvalues"], actual["attention"].swapaxes(1, 2)):
        assert not array[padding].any()


def test_large_scores_do_not_overflow(score, dtype):
    problem, lengths = random_problem(score, dtype, 2, {**LARGE, "N": 2}, True)
    problem.inputs["query"] *= np.array(1e4, dtype)
    results = everything(problem, _kernels, lengths)
    for name, array in results.items():
        assert np.isfinite(array).all(), name
    sums = results["attention"].sum(axis=2)
    np.testing.assert_allclose(sums, np.broadcast_to(lengths[:, None] > 0, sums.shape), rtol=1e-5)


def test_a_stash_serves_twice_and_outputs_are_the_callers(score, dtype):
    problem, lengths = random_problem(score, dtype, 3, {**LARGE, "N": 2, "Dv": 5}, True)
    *outputs, stash = problem.forward(_kernels, lengths=lengths)
    first = problem.backward(_kernels, stash)
    wanted = {name: array.copy() for name, array in first.items()}
    for result in (*outputs, *first.values()):
        result[...] = np.nan
    np.testing.assert_equal(problem.backward(_kernels, stash), wanted)


@pytest.mark.parametrize("size", [13, 16, 64, 72])
def test_keys_that_are_the_values_have_one_gradient(score, dtype, assert_agree, size):
    sizes = {"N": 3, "Tq": 7, "Tk": 9, "Dq": size, "Dk": size, "Dv": size, "A": size}
    problem, lengths = random_problem(score, dtype, 8, sizes, True)
    problem.inputs["values"] = problem.inputs["keys"]
    wanted = everything(problem, _reference, lengths)
    wanted["dkeys"] += wanted.pop("dvalues")
    for module in (_kernels, _reference):
        actual = everything(problem, module, lengths, shared=True)
        assert actual.pop("dvalues") is None
        assert_agree(actual, wanted)
