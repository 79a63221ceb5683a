"""RNN, LSTM and GRU: what they have in common, each claim for every variant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import (
    assert_close,
    numeric_gradient,
    random_drop,
    random_lengths,
    relative_error,
)
from support.problems import TEXTBOOK, VARIANTS, recurrent_problem

from fastrnn import _reference

pytestmark = pytest.mark.parametrize("variant", VARIANTS + TEXTBOOK)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("dropping", [False, True])
def test_every_gradient_by_finite_differences(variant, dropping, ragged, reverse):
    rng = np.random.default_rng([ragged, reverse])
    problem = recurrent_problem(variant, rng)
    options = {"lengths": random_lengths(rng, 4, 5) if ragged else None, "reverse": reverse}
    if dropping:
        options["drop_h"] = random_drop(rng, (4, 2))

    def objective():
        y, states, _ = problem.forward(_reference, train=False, **options)
        return problem.objective(y, states)

    gradients = problem.backward(_reference, problem.forward(_reference, **options)[2])
    for name, array in problem.arguments.items():
        assert_close(gradients[name], numeric_gradient(objective, array), 1e-7, name)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 5), st.booleans())
@settings(deadline=None, max_examples=20)
def test_each_sequence_is_computed_as_if_alone_and_unpadded(variant, seed, N, T, reverse):
    rng = np.random.default_rng(seed)
    problem = recurrent_problem(variant, rng, N=N, T=T)
    lengths = random_lengths(rng, N, T)
    y, states, _ = problem.forward(_reference, lengths=lengths, reverse=reverse)
    wanted_y, wanted_states = np.zeros_like(y), np.zeros_like(states)
    for n, length in enumerate(lengths):
        walk = range(length)[::-1] if reverse else range(length)
        alone = tuple(state[n : n + 1] for state in problem.states.values())
        for t in walk:
            alone = problem.step(_reference, problem.x[n : n + 1, t], alone)
            wanted_y[n, t] = alone[0][0]
        wanted_states[:, n] = np.concatenate(alone)
        assert not y[n, length:].any()
    assert_close(y, wanted_y, 1e-12, "y")
    assert_close(np.array(states), wanted_states, 1e-12, "states")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("garbage", [np.nan, np.inf])
def test_padding_reaches_nothing(variant, dtype, reverse, garbage):
    rng = np.random.default_rng(3)
    problem = recurrent_problem(variant, rng, dtype=dtype)
    lengths = random_lengths(rng, 4, 5)
    options = {"lengths": lengths, "reverse": reverse}
    y, states, stash = problem.forward(_reference, **options)
    gradients = problem.backward(_reference, stash)

    padding = np.arange(5) >= lengths[:, None]
    problem.x[padding] = garbage
    problem.dy[padding] = garbage
    y_again, states_again, stash = problem.forward(_reference, **options)
    gradients_again = problem.backward(_reference, stash)

    np.testing.assert_array_equal(y_again, y)
    np.testing.assert_array_equal(states_again, states)
    assert not y[padding].any()
    assert not gradients["x"][padding].any()
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradients_again[name], gradient, name)


def test_length_zero_passes_state_and_gradient_through(variant):
    rng = np.random.default_rng(4)
    problem = recurrent_problem(variant, rng, N=2)
    lengths = np.array([0, 5])
    _, states, stash = problem.forward(_reference, lengths=lengths)
    gradients = problem.backward(_reference, stash)
    for state, (name, initial) in zip(states, problem.states.items(), strict=True):
        np.testing.assert_array_equal(state[0], initial[0])
        np.testing.assert_array_equal(gradients[name][0], problem.dstates[f"d{name[0]}"][0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("N", "T"), [(0, 3), (3, 0), (0, 0), (1, 1), (3, 4)])
def test_shapes_and_dtypes(variant, dtype, ragged, N, T):
    rng = np.random.default_rng(5)
    problem = recurrent_problem(variant, rng, N=N, T=T, dtype=dtype)
    lengths = random_lengths(rng, N, T) if ragged else None
    y, states, stash = problem.forward(_reference, lengths=lengths)
    assert (y.shape, y.dtype) == ((N, T, 2), dtype)
    for state in states:
        assert (state.shape, state.dtype) == ((N, 2), dtype)
    for name, gradient in problem.backward(_reference, stash).items():
        array = problem.arguments[name]
        assert (gradient.shape, gradient.dtype) == (array.shape, dtype), name
    if T == 0:
        np.testing.assert_array_equal(states, list(problem.states.values()))


def test_float32_is_float64_rounded(variant):
    results = []
    for dtype in (np.float32, np.float64):
        problem = recurrent_problem(variant, np.random.default_rng(6), dtype=dtype)
        y, states, stash = problem.forward(_reference)
        results.append((y, *states, *problem.backward(_reference, stash).values()))
    assert max(map(relative_error, *results)) < 1e-5


def test_arguments_survive_and_a_stash_serves_twice(variant):
    problem = recurrent_problem(variant, np.random.default_rng(8))
    everything = {**problem.arguments, "dy": problem.dy, **problem.dstates}
    before = {name: array.copy() for name, array in everything.items()}
    y, states, stash = problem.forward(_reference)
    first = problem.backward(_reference, stash)
    for result in (y, *states, *first.values()):
        assert not any(np.shares_memory(result, array) for array in everything.values())
    for result in (y, *states):  # the caller's to overwrite
        result[...] = np.nan
    second = problem.backward(_reference, stash)
    for name, array in everything.items():
        np.testing.assert_array_equal(array, before[name], name)
    for name, gradient in first.items():
        np.testing.assert_array_equal(second[name], gradient, name)


def test_no_stash_without_train(variant):
    problem = recurrent_problem(variant, np.random.default_rng(9))
    y, states, stash = problem.forward(_reference, train=False)
    y_train, states_train, _ = problem.forward(_reference, train=True)
    assert stash is None
    np.testing.assert_array_equal(y, y_train)
    np.testing.assert_array_equal(states, states_train)


@pytest.mark.parametrize("t", [0, 2])
def test_nan_spreads_along_its_own_sequence_only(variant, t):
    problem = recurrent_problem(variant, np.random.default_rng(10))
    problem.x[1, t] = np.nan
    y, states, _ = problem.forward(_reference)
    assert np.isnan(y[1, t:]).all()
    assert np.isnan(states).any(axis=(0, 2)).tolist() == [False, True, False, False]
    assert np.isfinite(np.delete(y, 1, axis=0)).all()
    assert np.isfinite(y[1, :t]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_gates_do_not_overflow(variant, dtype):
    problem = recurrent_problem(variant, np.random.default_rng(11), dtype=dtype)
    if variant != "rnn_relu":
        problem.x *= 1e6
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, _, stash = problem.forward(_reference)
        gradients = problem.backward(_reference, stash)
    assert all(np.isfinite(result).all() for result in (y, *gradients.values()))


@pytest.mark.parametrize("dropping", [False, True])
def test_directions_share_x_and_nothing_else(variant, dropping):
    rng = np.random.default_rng(12)
    pair = [recurrent_problem(variant, rng) for _ in range(2)]
    pair[1].x = pair[0].x
    cell, lengths = pair[0].cell, random_lengths(rng, 4, 5)
    drop_h = random_drop(rng, (2, 4, 2)) if dropping else None
    y, finals, stash = _reference.recurrent_forward(
        cell,
        pair[0].x,
        stacked(problem.states for problem in pair),
        [[problem.weights.get(name) for name in cell.weights] for problem in pair],
        options=pair[0].options,
        reverse=(False, True),
        lengths=lengths,
        train=True,
        drop_h=drop_h,
    )
    dy = np.concatenate([problem.dy for problem in pair], axis=2)
    dstates = stacked(problem.dstates for problem in pair)
    dx, dinitial, dweights = _reference.recurrent_backward(cell, dy, dstates, stash)
    dx_alone = np.zeros_like(dx)
    for k, problem in enumerate(pair):
        y_k, finals_k, stash = problem.forward(
            _reference,
            lengths=lengths,
            reverse=k == 1,
            drop_h=drop_h if drop_h is None else drop_h[k],
        )
        np.testing.assert_array_equal(y[:, :, 2 * k : 2 * k + 2], y_k)
        np.testing.assert_array_equal([final[k] for final in finals], finals_k)
        gradients = problem.backward(_reference, stash)
        dx_alone += gradients["x"]
        for name, dstate in zip(problem.states, dinitial, strict=True):
            np.testing.assert_array_equal(dstate[k], gradients[name])
        for name, dweight in zip(cell.weights, dweights[k], strict=True):
            np.testing.assert_array_equal(dweight, gradients.get(name))
    np.testing.assert_array_equal(dx, dx_alone)


def stacked(dictionaries):
    """Return one array for all the directions' arrays of a name."""
    return [np.stack(each) for each in zip(*(d.values() for d in dictionaries), strict=True)]


@pytest.mark.parametrize(("N", "T"), [(4, 5), (0, 3), (3, 0)])
def test_an_embedding_is_looked_up(variant, N, T):
    rng = np.random.default_rng(13)
    problem = recurrent_problem(variant, rng, N=N, T=T)
    ids, embedding = rng.integers(0, 6, (N, T)), rng.standard_normal((6, 3))
    problem.x = embedding[ids]
    lengths = random_lengths(rng, N, T)
    y, _, stash = problem.forward(_reference, lengths=lengths)
    gradients = problem.backward(_reference, stash)
    problem.x = ids
    y_again, _, stash = problem.forward(_reference, lengths=lengths, embedding=embedding)
    gradients_again = problem.backward(_reference, stash)
    np.testing.assert_array_equal(y_again, y)
    wanted = np.zeros((6, 3))
    np.add.at(wanted, ids, gradients["x"])
    np.testing.assert_array_equal(gradients_again.pop("x"), wanted)
    del gradients["x"]
    np.testing.assert_equal(gradients_again, gradients)
