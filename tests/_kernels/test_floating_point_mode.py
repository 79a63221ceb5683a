"""Denormals are flushed to zero, inside the kernels only."""

from __future__ import annotations

import numpy as np
import pytest
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

from fastrnn import _kernels, _reference

pytestmark = pytest.mark.usefixtures("isa")


def denormal(array):
    return (array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)


def assert_mode_of_the_caller(dtype):
    """Denormals are neither flushed where they result nor zero where they are given."""
    smallest = np.full(100, np.finfo(dtype).tiny)
    assert denormal(smallest / 4).all()
    assert (smallest / 4 * 4 == smallest).all()


@pytest.mark.parametrize("rows", [3, 64])
def test_the_callers_mode_is_restored(dtype, make_call, rows):
    make_call(np.random.default_rng(1), rows, rows, dtype, num_threads=2)()
    assert_mode_of_the_caller(dtype)


def test_the_callers_mode_after_an_error(dtype):
    x = np.random.default_rng(2).standard_normal((64, 64)).astype(dtype)
    for call in (
        lambda: _kernels.softmax_cross_entropy(x, None, ignore_index=None, train=True),
        lambda: _kernels.embedding_backward(x, None, 64),
        lambda: _kernels.adam_update(x, x, x, [1.0], lr=1, beta1=0, beta2=0, eps=1, step=1),
        lambda: _kernels.linear_forward(x, [1.0], None),
    ):
        with pytest.raises((TypeError, AttributeError)):
            call()
        assert_mode_of_the_caller(dtype)


@pytest.mark.parametrize("variant", VARIANTS)
def test_states_and_gradients_that_decay(variant, dtype):
    problem = recurrent_problem(
        variant, np.random.default_rng(3), N=8, T=12, D=5, H=21, dtype=dtype
    )
    faint = np.finfo(dtype).tiny * 50
    weights = [value for name, value in problem.weights.items() if name != "Wx"]
    for array in (problem.x, *weights):
        array[...] *= 0.1
    for name in {"b", "bh"} & problem.weights.keys():
        problem.weights[name][...] = 0
    problem.x[...] = 0
    for array in (*problem.states.values(), problem.dy, *problem.dstates.values()):
        array *= faint
    outputs = {}
    for module in (_kernels, _reference):
        y, states, stash = problem.forward(module)
        outputs[module] = [y, *states, *problem.backward(module, stash).values()]
    assert any(denormal(array).any() for array in outputs[_reference])
    assert not any(denormal(array).any() for array in outputs[_kernels])


def test_moments_that_decay(update, dtype):
    name, moments, options = update
    shape = 2 + moments, 1000
    arrays = np.abs(np.random.default_rng(4).standard_normal(shape)).astype(dtype)
    arrays[1] *= np.finfo(dtype).tiny  # many a gradient is denormal
    arrays[2:] *= np.finfo(dtype).tiny
    assert denormal(arrays[1:]).any(axis=1).all()
    changed = arrays.copy()
    getattr(_kernels, name)(*changed, **options)
    assert not denormal(changed[0]).any()
    assert not denormal(changed[2:]).any()
    _kernels.scale_in_place(changed[1], 0.9)
    assert not denormal(changed[1]).any()


@pytest.mark.parametrize("score", SCORES)
def test_attention_to_faint_values(score, dtype):
    problem = attention_problem(score, np.random.default_rng(5), Dk=16, Dv=30, dtype=dtype)
    for array in (problem.inputs["values"], problem.dcontext, problem.dattention):
        array *= 2 * np.finfo(dtype).tiny
    results = {}
    for module in (_kernels, _reference):
        context, _, stash = problem.forward(module)
        gradients = problem.backward(module, stash)
        results[module] = {
            "context": context,
            **{f"d{name}": gradients[name] for name in gradients},
        }
    squares = {"dWv", "dWo"}  # products of two faint numbers, hence 0
    faint = [array for name, array in results[_reference].items() if name not in squares]
    assert all(denormal(array).any() for array in faint)
    assert not any(denormal(array).any() for array in results[_kernels].values())


@pytest.mark.parametrize("context", ["input_feeding", "input"])
def test_a_decoder_of_faint_numbers(context, dtype):
    problem = decoder_problem(
        "lstm", np.random.default_rng(6), context=context, R=None, H=20, M=20, dtype=dtype
    )
    dfeatures, _, dfed, dstates = problem.upstream
    problem.upstream[1] = None
    for array in (dfeatures, dfed, problem.memory, *dstates):
        if array is not None:
            array *= 2 * np.finfo(dtype).tiny
    results = {}
    for module in (_kernels, _reference):
        outputs = problem.forward(module)
        gradients = problem.backward(module, outputs[-1])
        results[module] = [*problem.outputs(outputs).values(), *gradients.values()]
    assert any(denormal(array).any() for array in results[_reference])
    assert not any(denormal(array).any() for array in results[_kernels])


def test_classes_that_hardly_count(dtype):
    logits = np.linspace(*{"float32": (-95, 0), "float64": (-720, 0)}[dtype], 400, dtype=dtype)
    results = [
        module.softmax_cross_entropy(logits[None], np.array([399]), ignore_index=None, train=True)[
            1
        ]
        for module in (_kernels, _reference)
    ]
    assert denormal(results[1]).any()
    assert not denormal(results[0]).any()
