"""rnn, lstm and gru: each against the reference called directly."""

from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close, random_lengths
from support.problems import VARIANTS, recurrent_problem

from fastrnn import _reference, ops
from fastrnn.ops._recurrent import forward_one
from fastrnn.ops.lstm import CELL

RTOL = {"float32": 2e-5, "float64": 1e-11}
MODES = [(False, False), (True, False), (False, True), (True, True)]  # lengths, reverse


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("ragged", "reverse"), MODES)
def test_agrees_with_the_reference(variant, ragged, reverse, dtype, backend):
    rng = np.random.default_rng(1)
    problem = recurrent_problem(variant, rng, N=5, T=7, D=3, H=6, dtype=dtype)
    modes = {"lengths": random_lengths(rng, 5, 7) if ragged else None, "reverse": reverse}
    y, states, stash = problem.forward(_reference, **modes)
    grads = problem.backward(_reference, stash)

    arguments, options = problem.arguments.values(), {**problem.options, **modes}
    inferred = getattr(ops, problem.cell.name)(*arguments, **options)
    *outputs, stash = getattr(ops, f"{problem.cell.name}_forward")(*arguments, **options)
    backward = getattr(ops, f"{problem.cell.name}_backward")
    upstream = (problem.dy, *problem.dstates.values())
    results = [backward(*upstream, stash), backward(*upstream, stash)]  # a stash serves again

    for name, wanted, first, second in zip(
        ("y", "h", "c"), (y, *states), inferred, outputs, strict=False
    ):
        assert_close(first, wanted, RTOL[dtype], name)
        assert_close(second, wanted, RTOL[dtype], name)
        assert first.dtype == dtype
    for result in results:
        for (name, wanted), grad in zip(grads.items(), result, strict=False):
            assert_close(grad, wanted, RTOL[dtype], name)
            assert grad.dtype == dtype


@pytest.mark.parametrize("variant", VARIANTS)
def test_step_is_a_forward_over_one_step(variant, dtype, backend):
    problem = recurrent_problem(variant, np.random.default_rng(2), N=3, T=1, H=5, dtype=dtype)
    _, *wanted = getattr(ops, problem.cell.name)(*problem.arguments.values(), **problem.options)
    _, *others = problem.arguments.values()
    states = getattr(ops, f"{problem.cell.name}_step")(problem.x[:, 0], *others, **problem.options)
    states = states if isinstance(states, tuple) else (states,)
    for state, want in zip(states, wanted, strict=True):
        assert_close(state, want, RTOL[dtype])


@pytest.mark.parametrize("variant", VARIANTS)
def test_none_means_zeros(variant, backend):
    problem = recurrent_problem(variant, np.random.default_rng(3))
    none = [None] * len(problem.states)
    zeros = [np.zeros_like(state) for state in problem.states.values()]
    forward = getattr(ops, f"{problem.cell.name}_forward")
    backward = getattr(ops, f"{problem.cell.name}_backward")
    *outputs, stash = forward(problem.x, *none, *problem.weights.values(), **problem.options)
    *wanted, _ = forward(problem.x, *zeros, *problem.weights.values(), **problem.options)
    for output, want in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(output, want)
    only_states = list(problem.dstates.values())
    pairs = [
        (backward(None, *only_states, stash), backward(0 * problem.dy, *only_states, stash)),
        (backward(problem.dy, *none, stash), backward(problem.dy, *zeros, stash)),
    ]
    for some, same in pairs:
        for array, other in zip(some, same, strict=True):
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("N", "T"), [(0, 4), (3, 0), (0, 0), (1, 1)])
def test_empty_batches_and_sequences(variant, N, T, backend):
    rng = np.random.default_rng(4)
    problem = recurrent_problem(variant, rng, N=N, T=T, D=3, H=2)
    forward = getattr(ops, f"{problem.cell.name}_forward")
    for lengths in (None, rng.integers(0, T + 1, N)):
        y, h, *rest = forward(*problem.arguments.values(), **problem.options, lengths=lengths)
        assert y.shape == (N, T, 2) and h.shape == (N, 2)
        if T == 0:
            np.testing.assert_array_equal(h, problem.states["h0"])
        backward = getattr(ops, f"{problem.cell.name}_backward")
        grads = backward(problem.dy, *problem.dstates.values(), rest[-1])
        for grad, array in zip(grads, problem.arguments.values(), strict=False):
            assert grad.shape == array.shape
        if T == 0:
            np.testing.assert_array_equal(grads[1], problem.dstates["dh"])
            assert not grads[2 if len(problem.states) == 1 else 3].any()


def test_out_receives_y(backend):
    problem = recurrent_problem("lstm", np.random.default_rng(5), H=2)
    wanted, *_ = ops.lstm(*problem.arguments.values())
    both = np.full((*wanted.shape[:2], 4), 7.0)
    x, h0, c0, *weights = problem.arguments.values()
    y, *_ = forward_one(CELL, x, (h0, c0), weights, train=False, out=both[..., 2:])
    np.testing.assert_array_equal(both[..., 2:], wanted)
    assert np.shares_memory(y, both)
    assert (both[..., :2] == 7).all()
