"""RNN, LSTM and GRU: the kernels against the reference, and what they promise to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_drop, random_lengths
from support.problems import TEXTBOOK, VARIANTS, everything, recurrent_problem
from support.written_cells import PROGRAMS

from fastrnn import _kernels, _reference

pytestmark = [
    pytest.mark.usefixtures("isa"),
    pytest.mark.parametrize("variant", [*VARIANTS, *TEXTBOOK, *PROGRAMS]),
]

NORMED = [name for name, cell in PROGRAMS.items() if "rstd" in {n.op for n in cell.program.nodes}]


class Case(NamedTuple):
    seed: int
    N: int
    T: int
    D: int
    H: int
    ragged: bool
    reverse: bool
    dropping: bool = False

    def problem(self, variant, dtype):
        """A random problem, and the options of its forward."""
        rng = np.random.default_rng(self.seed)
        # Layer normalization of one or two units magnifies how they are rounded.
        H = self.H if variant not in NORMED else max(self.H, 7)
        sizes = {"N": self.N, "T": self.T, "D": self.D, "H": H}
        lengths = random_lengths(rng, self.N, self.T) if self.ragged else None
        problem = recurrent_problem(variant, rng, **sizes, dtype=dtype)
        dropping = self.dropping and problem.cell.h_gates
        drop_h = random_drop(rng, problem.states["h0"].shape, dtype) if dropping else None
        return problem, {"lengths": lengths, "reverse": self.reverse, "drop_h": drop_h}


# Around the widths of a vector (2 to 16 numbers), of a panel (4 vectors) and of the loop of a
# single row (8 vectors); rows around the heights of a tile (1 to 6).
WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65])
CASES = st.builds(
    Case,
    seed=st.integers(0, 2**32),
    N=st.integers(0, 14),
    T=st.integers(0, 6),
    D=WIDTHS,
    H=WIDTHS,
    ragged=st.booleans(),
    reverse=st.booleans(),
    dropping=st.booleans(),
)
EXAMPLES = settings(deadline=None, max_examples=15)

# Sizes at which the weights do not fit a cache in float32, so that x is projected ahead, and at
# which threads share the packing.
PROJECTED = {"rnn": 900, "lstm": 441, "gru": 511}


def padding(options, T):
    return np.arange(T) >= options["lengths"][:, None]


def spread(array, around=np.nan):
    """The same numbers as half of a wider, time-major array of `around`."""
    N, T, width = array.shape
    view = np.full((T, N, 2 * width), around, array.dtype).transpose(1, 0, 2)[:, :, width:]
    view[...] = array
    return view


@given(case=CASES)
@EXAMPLES
def test_agrees_with_the_reference(variant, dtype, assert_agree, case):
    problem, options = case.problem(variant, dtype)
    wanted = everything(problem, _reference, **options)
    actual = everything(problem, _kernels, **options)
    assert_agree(actual, wanted, everything(problem.in_float64(), _reference, **options))


@pytest.mark.parametrize(
    ("ragged", "reverse", "dropping"), [(False, True, True), (True, False, False)]
)
@pytest.mark.parametrize("kind", ["several chunks", "projected"])
def test_large_calls_on_any_number_of_threads(
    variant, dtype, assert_agree, kind, ragged, reverse, dropping
):
    size = PROJECTED.get(variant.partition("_")[0], 441)
    N, T, D, H = (43, 31, 23, 19) if kind == "several chunks" else (26, 5, size, size)
    problem, options = Case(5, N, T, D, H, ragged, reverse, dropping).problem(variant, dtype)
    wanted = everything(problem, _reference, **options)
    alone = everything(problem, _kernels, num_threads=1, **options)
    assert_agree(alone, wanted)
    for num_threads in (2, 3):
        np.testing.assert_equal(
            everything(problem, _kernels, num_threads=num_threads, **options), alone
        )


@given(case=CASES)
@EXAMPLES
def test_each_sequence_is_computed_as_if_alone(variant, dtype, case):
    problem, options = case.problem(variant, dtype)
    together = everything(problem, _kernels, **options)
    for n in range(case.N):
        own = slice(n, n + 1)
        alone = replace(
            problem,
            x=problem.x[own],
            dy=problem.dy[own],
            states={name: array[own] for name, array in problem.states.items()},
            dstates={name: array[own] for name, array in problem.dstates.items()},
        )
        arrays = {name: options[name] for name in ("lengths", "drop_h")}
        own_options = options | {k: None if a is None else a[own] for k, a in arrays.items()}
        results = everything(alone, _kernels, **own_options)
        for name in results.keys() - {f"d{name}" for name in problem.weights}:
            np.testing.assert_array_equal(results[name], together[name][own], name)


@given(case=CASES)
@EXAMPLES
def test_steps_are_the_forward_and_inference_is_training(variant, dtype, case):
    problem, options = case.problem(variant, dtype)
    y, states, _ = problem.forward(_kernels, **options)
    y_inference, states_inference, none = problem.forward(_kernels, train=False, **options)
    assert none is None
    np.testing.assert_array_equal(y_inference, y)
    np.testing.assert_equal(states_inference, states)
    y, states, _ = problem.forward(_kernels, train=False)
    stepped = tuple(problem.states.values())
    for t in range(case.T):
        stepped = problem.step(_kernels, problem.x[:, t].copy(), stepped)
        np.testing.assert_array_equal(stepped[0], y[:, t])
    np.testing.assert_equal(stepped, states)


@pytest.mark.parametrize("N", [1, 3])
def test_steps_are_the_forward_where_it_projects_x(variant, dtype, N):
    size = PROJECTED.get(variant.partition("_")[0], 441)
    problem, _ = Case(6, N, 3, size, size, False, False).problem(variant, dtype)
    y, _, _ = problem.forward(_kernels)
    stepped = tuple(problem.states.values())
    for t in range(3):
        stepped = problem.step(_kernels, problem.x[:, t].copy(), stepped)
        np.testing.assert_array_equal(stepped[0], y[:, t])


@given(case=CASES)
@EXAMPLES
def test_strides_change_nothing(variant, dtype, case):
    problem, options = case.problem(variant, dtype)
    plain = everything(problem, _kernels, **options)
    strided = replace(problem, x=spread(problem.x), dy=spread(problem.dy))
    out = spread(np.empty_like(problem.dy), around=7)
    np.testing.assert_equal(everything(strided, _kernels, out=out, **options), plain)
    np.testing.assert_array_equal(out, plain["y"])
    assert (out.base[:, :, : problem.dy.shape[2]] == 7).all()


@given(
    case=CASES.map(lambda case: case._replace(ragged=True)), garbage=st.sampled_from(["nan", "inf"])
)
@EXAMPLES
def test_padding_reaches_nothing(variant, dtype, case, garbage):
    problem, options = case.problem(variant, dtype)
    clean = everything(problem, _kernels, **options)
    past = padding(options, case.T)
    problem.x[past] = garbage
    problem.dy[past] = garbage
    np.testing.assert_equal(everything(problem, _kernels, **options), clean)
    assert not clean["y"][past].any()
    assert not clean["dx"][past].any()


def test_a_stash_serves_twice_and_arguments_survive(variant, dtype):
    problem, options = Case(7, 5, 4, 9, 17, True, False).problem(variant, dtype)
    arguments = {**problem.arguments, "dy": problem.dy, **problem.dstates}
    before = {name: array.copy() for name, array in arguments.items()}
    y, states, stash = problem.forward(_kernels, **options)
    first = problem.backward(_kernels, stash)
    wanted = {name: array.copy() for name, array in first.items()}
    for result in (y, *states, *first.values()):
        assert not any(np.shares_memory(result, array) for array in arguments.values())
        result[...] = np.nan
    np.testing.assert_equal(problem.backward(_kernels, stash), wanted)
    np.testing.assert_equal(arguments, before)


@given(
    case=CASES.map(lambda case: case._replace(N=case.N + 1, T=case.T + 1)),
    where=st.sampled_from(["x", "h0", "c0", "Wx", "Wh", "b", "bh", "dy", "dh", "dc"]),
    poison=st.sampled_from([np.nan, np.inf, -np.inf]),
)
@settings(EXAMPLES, max_examples=25)
def test_nan_and_inf_go_where_they_go_in_the_reference(variant, dtype, case, where, poison):
    problem, options = case.problem(variant, dtype)
    arrays = {**problem.arguments, "dy": problem.dy, **problem.dstates}
    array = arrays.get(where, problem.x)
    array.flat[np.random.default_rng(case.seed).integers(array.size)] = poison
    with np.errstate(all="ignore"):
        wanted = everything(problem, _reference, **options)
    actual = everything(problem, _kernels, **options)
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.isfinite(actual[name]), np.isfinite(array), name)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_saturated_gates_do_not_overflow(variant, dtype, assert_agree, scale):
    problem, options = Case(8, 5, 4, 9, 17, True, False).problem(variant, dtype)
    problem.weights["b"] *= scale / np.abs(problem.weights["b"])
    with np.errstate(over="ignore", under="ignore"):
        wanted = everything(problem, _reference, **options)
        exact = everything(problem.in_float64(), _reference, **options)
    assert all(np.isfinite(array).all() for array in wanted.values())
    # The exponential gates of an sLSTM magnify how such sums are rounded.
    exact = exact if variant == "slstm" else None
    assert_agree(everything(problem, _kernels, **options), wanted, exact)


def test_denormal_inputs_count_as_zeros(variant, dtype, assert_agree):
    problem, options = Case(9, 5, 4, 9, 17, True, False).problem(variant, dtype)
    wanted = everything(replace(problem, x=0 * problem.x), _reference, **options)
    problem.x *= np.finfo(dtype).tiny / 16
    assert_agree(everything(problem, _kernels, **options), wanted)


@given(case=CASES)
@EXAMPLES
def test_transposed_weights_change_no_bit(variant, dtype, case):
    problem, options = case.problem(variant, dtype)
    wanted = everything(problem, _kernels, **options)
    problem.weights = {name: np.asfortranarray(array) for name, array in problem.weights.items()}
    for name, array in everything(problem, _kernels, **options).items():
        np.testing.assert_array_equal(array, wanted[name], name)
