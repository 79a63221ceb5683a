"""Recurrent layers on the rows of an embedding: as on the vectors that the rows are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_drop, random_lengths
from support.problems import TEXTBOOK, VARIANTS, recurrent_problem

from fastrnn import _kernels, _reference
from fastrnn._kernels.runtime import thread_groups

pytestmark = [
    pytest.mark.usefixtures("isa"),
    pytest.mark.parametrize("variant", VARIANTS + TEXTBOOK),
]

EXAMPLES = settings(deadline=None, max_examples=10)
WIDTHS = st.sampled_from([1, 3, 4, 8, 9, 16, 17, 33, 65])


def random_problem(variant, seed, *, N, T, D, H, V, dtype):
    """A problem whose x are rows of an embedding, their numbers, and options of the forward."""
    rng = np.random.default_rng(seed)
    problem = recurrent_problem(variant, rng, N=N, T=T, D=D, H=H, dtype=dtype)
    embedding = rng.standard_normal((V, D)).astype(dtype)
    ids = rng.integers(0, V, (N, T))
    options = {
        "lengths": random_lengths(rng, N, T) if rng.random() < 0.5 else None,
        "reverse": rng.random() < 0.5,
        "drop_h": random_drop(rng, (N, H), dtype) if rng.random() < 0.3 else None,
    }
    return replace(problem, x=embedding[ids]), embedding, ids, options


def everything(problem, stash_of, module, num_threads=None):
    """All that a forward and its backward return, by name; that of x as the first argument is."""
    y, states, stash = stash_of(problem)
    gradients = problem.backward(module, stash, num_threads=num_threads)
    states = dict(zip(problem.states, states, strict=True))
    return {"y": y, **states, **{f"d{name}": array for name, array in gradients.items()}}


def on_rows(problem, embedding, ids, options, num_threads=None):
    """Everything from the numbers of the rows, on the kernels."""

    def forward(problem):
        taking = replace(problem, x=ids)
        return taking.forward(_kernels, embedding=embedding, num_threads=num_threads, **options)

    return everything(problem, forward, _kernels, num_threads)


def on_vectors(problem, embedding, ids, options, module):
    """The same from the vectors; the gradient of x is summed by rows."""
    results = everything(problem, lambda p: p.forward(module, **options), module)
    dx = results["dx"].reshape(-1, embedding.shape[1])
    return results | {"dx": _reference.embedding_backward(dx, ids.ravel(), len(embedding))}


@given(
    seed=st.integers(0, 2**32),
    N=st.integers(0, 9),
    T=st.integers(0, 6),
    D=WIDTHS,
    H=WIDTHS,
    V=st.integers(1, 12),
)
@EXAMPLES
def test_rows_are_as_good_as_vectors(variant, dtype, assert_agree, seed, N, T, D, H, V):
    case = random_problem(variant, seed, N=N, T=T, D=D, H=H, V=V, dtype=dtype)
    actual = on_rows(*case)
    exact = on_vectors(case[0].in_float64(), *case[1:], _reference)
    assert_agree(actual, on_vectors(*case, _reference), exact)
    kernels = on_vectors(*case, _kernels)
    for name in ("y", *case[0].states):
        np.testing.assert_array_equal(actual[name], kernels[name], name)


@pytest.mark.parametrize("shared", [1, 2, 100])
def test_any_number_of_threads_gives_the_same_result(variant, dtype, shared):
    case = random_problem(variant, 1, N=33, T=29, D=65, H=130, V=31, dtype=dtype)
    alone = on_rows(*case, num_threads=1)
    thread_groups.force_threads_per_group(shared)
    try:
        for num_threads in (2, 3, 4):
            np.testing.assert_equal(on_rows(*case, num_threads=num_threads), alone)
    finally:
        thread_groups.force_threads_per_group(0)


def test_what_becomes_of_the_ids_does_not_matter_to_the_backward(variant, dtype):
    case = random_problem(variant, 2, N=3, T=4, D=5, H=6, V=4, dtype=dtype)
    problem, embedding, ids, options = case
    wanted = on_rows(*case)
    given = ids.copy()
    *_, stash = replace(problem, x=given).forward(_kernels, embedding=embedding, **options)
    given[...] = 10**12
    for name, gradient in problem.backward(_kernels, stash).items():
        np.testing.assert_array_equal(gradient, wanted[f"d{name}"], name)


@pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")
def test_an_embedding_reshaped_after_the_forward_is_refused(variant, dtype):
    problem, embedding, ids, options = random_problem(
        variant, 3, N=3, T=4, D=5, H=6, V=1, dtype=dtype
    )
    *_, stash = replace(problem, x=ids).forward(_kernels, embedding=embedding, **options)
    embedding.shape = (5,)
    with pytest.raises(ValueError, match="must have the shapes that forward found"):
        problem.backward(_kernels, stash)
