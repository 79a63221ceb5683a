"""Cells that are programs: random ones, masks, and what a program may not need, on the kernels."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fastrnn._kernels.runtime.thread_groups import force_threads_per_group
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_drop, random_lengths
from support.problems import everything
from support.programs import LIBRARY, program_problem, random_cell

from fastrnn import _kernels, _reference

pytestmark = pytest.mark.usefixtures("isa")

# FASTRNN_PROGRAMS=2000 is what a maintainer runs after a change of the compiler of programs.
EXAMPLES = settings(deadline=None, max_examples=int(os.environ.get("FASTRNN_PROGRAMS", "40")))


@given(
    seed=st.integers(0, 2**32),
    operations=st.integers(1, 20),
    N=st.integers(1, 11),
    T=st.integers(1, 4),
    H=st.sampled_from([7, 8, 9, 16, 17, 33, 65]),
    ragged=st.booleans(),
    dropping=st.booleans(),
)
@EXAMPLES
def test_random_programs(seed, operations, N, T, H, ragged, dropping):
    rng = np.random.default_rng(seed)
    defined = random_cell(rng, operations).define()
    problem = program_problem(defined, rng, N=N, T=T, D=5, H=H)
    lengths = random_lengths(rng, N, T) if ragged else None
    drop_h = random_drop(rng, (N, H), "float64") if dropping and defined.h_gates else None
    options = {"lengths": lengths, "drop_h": drop_h}
    wanted = everything(problem, _reference, **options)
    actual = everything(problem, _kernels, **options)
    for name, array in wanted.items():
        bound = 1e-9 * (1 + np.abs(array).max(initial=0))
        np.testing.assert_allclose(actual[name], array, 0, bound, err_msg=name)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("N", [1, 21])
def test_threads_and_their_groups_change_no_bit(name, N, dtype):
    rng = np.random.default_rng(3)
    sizes = {"N": N, "T": 6, "D": 70, "H": 150, "P": 90, "dtype": np.dtype(dtype).type}
    problem = program_problem(LIBRARY[name], rng, **sizes)
    alone = everything(problem, _kernels, num_threads=1)
    try:
        for per_group in (0, 2, 3):
            force_threads_per_group(per_group)
            for num_threads in (2, 3):
                found = everything(problem, _kernels, num_threads=num_threads)
                np.testing.assert_equal(found, alone)
    finally:
        force_threads_per_group(0)


def test_masks_are_those_of_the_reference(dtype, assert_agree):
    rng = np.random.default_rng(4)
    real = np.dtype(dtype).type
    problem = program_problem(LIBRARY["ZoneoutLSTM"], rng, N=9, T=5, D=3, H=40, dtype=real)
    options = {"lengths": random_lengths(rng, 9, 5), "reverse": True}
    wanted = everything(problem, _reference, **options)
    assert_agree(everything(problem, _kernels, **options), wanted)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize(("N", "D", "H"), [(1, 7, 80), (1, 1100, 16), (3, 80, 112), (1, 5, 21)])
def test_a_step_on_weights_as_they_lie_is_that_of_a_forward(isa, name, N, D, H, dtype):
    rng = np.random.default_rng(5)
    real = np.dtype(dtype).type
    problem = program_problem(LIBRARY[name], rng, N=N, T=1, D=D, H=H, P=H - 3, dtype=real)
    states = tuple(problem.states.values())
    _, wanted, _ = _kernels.recurrent_forward(
        problem.cell,
        problem.x,
        [state[None] for state in states],
        [problem.cell_weights()],
        options=problem.options,
        reverse=(False,),
        lengths=None,
        train=False,
    )
    for came, state in zip(problem.step(_kernels, problem.x[:, 0], states), wanted, strict=True):
        np.testing.assert_array_equal(came, state[0])
