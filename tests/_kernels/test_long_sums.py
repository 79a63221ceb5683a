"""Long sums against float64: their errors stay within the bounds that `docs/limits.md` states.

The terms of a sum are all alike, which is where rounding adds up most, random ones of one sign, or
random ones of both.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from support.problems import VARIANTS, decoder_problem, recurrent_problem

from fastrnn import _kernels, _reference, ops
from fastrnn._cells import CELLS

pytestmark = pytest.mark.usefixtures("isa")

BLOCK = 1024


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def length(dtype):
    """Not a multiple of anything; what a float64 sum loses is seen at a tenth of it, too."""
    return {"float32": 1_000_003, "float64": 100_003}[dtype]


def terms(rng, length, dtype):
    """Three columns of numbers: all alike, of one sign, of both."""
    columns = np.full(length, 0.1), rng.random(length), rng.uniform(-1, 1, length)
    return np.stack(columns, axis=1).astype(dtype)


def bound(length, dtype):
    """The error of a sum, relative to that of the magnitudes of its terms."""
    roundings = min(length, BLOCK) + length / BLOCK + 8
    return roundings * np.finfo(dtype).eps / 2


def assert_within(actual, wanted, magnitude, length):
    assert np.shape(actual) == np.shape(wanted)
    error = np.abs(np.asarray(actual, np.float64) - wanted) / magnitude
    assert error.max() <= bound(length, actual.dtype)


def exact_product(a, b):
    """a^T b, and the sums of the magnitudes of its terms; NumPy adds pairwise along an axis."""
    columns = [[x.astype(np.float64) for x in np.ascontiguousarray(m.T)] for m in (a, b)]
    products = [[x * y for y in columns[1]] for x in columns[0]]
    return [
        np.array([[f(p) for p in row] for row in products])
        for f in (np.sum, lambda p: np.abs(p).sum())
    ]


def test_linear(rng, dtype, length):
    x, W = terms(rng, length, dtype), terms(rng, length, dtype)
    rows = np.ascontiguousarray(x.T)
    y = _kernels.linear_forward(rows, W, None)
    assert_within(y, *exact_product(x, W), length)
    np.testing.assert_array_equal(_kernels.linear_forward(rows[:1], W, None), y[:1])
    rows_W = np.ascontiguousarray(W.T)
    dx, _, _ = _kernels.linear_backward(rows, W[:3], rows_W, bias=False)
    np.testing.assert_array_equal(dx, y)


def test_gradients_of_linear(rng, dtype, length):
    x, dy = terms(rng, length, dtype), terms(rng, length, dtype)
    _, dW, db = _kernels.linear_backward(dy, x, np.eye(3, dtype=dtype), bias=True)
    assert_within(dW, *exact_product(x, dy), length)
    assert_within(db[None], *exact_product(np.ones_like(x[:, :1]), dy), length)


def test_gradient_of_an_embedding(rng, dtype, length):
    dy, ids = terms(rng, length, dtype), rng.integers(0, 2, length)
    ids[rng.integers(0, length, 100)] = 2  # rare
    dW = _kernels.embedding_backward(dy, ids, 4)
    wanted, magnitude = exact_product(ids[:, None] == np.arange(3), dy)
    assert_within(dW[:3], wanted, magnitude, length)
    assert not dW[3].any()


def relu(rng, dtype, inputs, Wh=0.0, b=0.0):
    """The arguments of an RNN of three units that gives x Wx + b, as far as that is positive."""
    weights = (terms(rng, inputs, dtype), np.full((3, 3), Wh, dtype), np.full(3, b, dtype))
    return CELLS["rnn"], weights, {"options": {"nonlinearity": "relu"}}


def test_inputs_of_a_recurrent_layer(rng, dtype, length):
    cell, weights, options = relu(rng, dtype, length)
    x, state = terms(rng, length, dtype), np.zeros((3, 3), dtype)
    rows = np.ascontiguousarray(x.T)

    def forward(count):
        y, _, _ = _kernels.recurrent_forward(
            cell,
            rows[:count, None],
            [state[None, :count]],
            [weights],
            reverse=(False,),
            lengths=None,
            train=False,
            **options,
        )
        return y[:, 0]

    wanted, magnitude = exact_product(x, weights[0])
    assert_within(forward(3), np.maximum(wanted, 0), magnitude, length)
    np.testing.assert_array_equal(forward(1), forward(3)[:1])
    (step,) = _kernels.recurrent_step(cell, rows[:1], [state[:1]], weights, **options)
    np.testing.assert_array_equal(step, forward(1))


@pytest.mark.parametrize("rows", [1, 300])
def test_weight_gradients_of_a_recurrent_layer(rng, dtype, length, rows):
    steps = length // rows
    cell, weights, options = relu(rng, dtype, 3, b=4.0)
    x, dy = terms(rng, steps * rows, dtype), terms(rng, steps * rows, dtype)
    state = np.zeros((1, rows, 3), dtype)
    y, _, stash = _kernels.recurrent_forward(
        cell,
        x.reshape(rows, steps, 3),
        [state],
        [weights],
        reverse=(False,),
        lengths=None,
        train=True,
        **options,
    )
    h = np.concatenate([state[0][:, None], y[:, :-1]], axis=1).reshape(-1, 3)
    _, _, [(dWx, dWh, db)] = _kernels.recurrent_backward(
        cell, dy.reshape(rows, steps, 3), [np.zeros_like(state)], stash
    )
    assert_within(dWx, *exact_product(x, dy), length)
    assert_within(dWh, *exact_product(h, dy), length)
    assert_within(db[None], *exact_product(np.ones_like(x[:, :1]), dy), length)


def test_gradients_of_a_recurrent_layer_on_an_embedding(rng, dtype, length):
    cell, weights, options = relu(rng, dtype, 1, b=4.0)
    E = rng.random((2, 1)).astype(dtype)
    ids, dy = rng.integers(0, 2, (1, length)), terms(rng, length, dtype)
    state = np.zeros((1, 1, 3), dtype)
    _, _, stash = _kernels.recurrent_forward(
        cell,
        ids,
        [state],
        [weights],
        reverse=(False,),
        lengths=None,
        train=True,
        embedding=E,
        **options,
    )
    dE, _, [(dWx, *_)] = _kernels.recurrent_backward(cell, dy[None], [np.zeros_like(state)], stash)
    sums, magnitudes = exact_product(ids[0][:, None] == np.arange(2), dy)
    assert_within(dE, sums @ weights[0].T, magnitudes @ np.abs(weights[0].T), length)
    assert_within(dWx, E.T @ sums, E.T @ magnitudes, length)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_deep_row_alone_is_the_same(rng, variant, dtype="float32"):
    """With more hidden units and inputs than a block has terms."""
    problem = recurrent_problem(variant, rng, N=3, T=2, D=BLOCK + 30, H=BLOCK + 60, dtype=dtype)
    states = tuple(problem.states.values())
    y, _, _ = problem.forward(_kernels, train=False)
    steps = problem.step(_kernels, problem.x[:, 0].copy(), states)
    np.testing.assert_array_equal(steps[0], y[:, 0])
    problem.x = problem.x[:1]
    problem.states = {name: state[:1] for name, state in problem.states.items()}
    alone, _, _ = problem.forward(_kernels, train=False)
    np.testing.assert_array_equal(alone, y[:1])


@cache
def attention_arrays(score, queries, keys):
    """Float32 arguments of attention in which the first key has half of the weight.

    The gradient of the scores of all other keys has one sign.
    """
    rng = np.random.default_rng(0)
    query, key = np.zeros((1, queries, 3)), np.zeros((1, keys, 3))
    query[0, :, 0] = 1
    query[0, :, 1:] = 0.1 * terms(rng, queries, "float64")[:, :2]
    key[0, 0, 0] = np.log(keys - 1)
    key[0, 1:, 1:] = 0.1 * terms(rng, keys - 1, "float64")[:, :2]
    weights = ()
    if score == "additive":
        query[0, :, 0] = 0
        key[0, 0] = 20  # where tanh is flat
        weights = np.eye(3), np.eye(3), np.array([np.log(keys - 1), 0.1, 0.1])
    dattention = np.ones((1, queries, keys))
    dattention[:, :, 0] = 0
    dcontext = np.zeros((1, queries, 2))
    values = terms(rng, keys, "float64")[None, :, :2]
    arrays = query, key, values, dcontext, dattention, *weights
    return [array.astype(np.float32) for array in arrays]


def attend(module, score, arrays):
    """The context, the attention, and the gradients of the arguments."""
    query, key, values, dcontext, dattention, *weights = arrays
    context, attention, stash = module.attention_forward(
        query, key, values, tuple(weights), score=score, lengths=None, train=True
    )
    *gradients, dweights = module.attention_backward(dcontext, dattention, stash)
    return context, attention, *gradients, *dweights


@cache
def exact_attention(score, queries, keys):
    arrays = [array.astype(np.float64) for array in attention_arrays(score, queries, keys)]
    return attend(_reference, score, arrays)


def assert_near(actual, wanted, length):
    """Of a sum whose terms have one sign."""
    assert_within(actual, wanted, np.abs(wanted), length)


ATTENTION = pytest.mark.parametrize("score", ["dot", "additive"])


@ATTENTION
def test_attention_over_keys(score, length=10**6):
    ours = attend(_kernels, score, attention_arrays(score, 1, length))
    exact = exact_attention(score, 1, length)
    assert_near(ours[0], exact[0], 2 * length)
    assert_near(ours[1], exact[1], length)
    assert_near(ours[2][0, :, 1:], exact[2][0, :, 1:], 3 * length)


@ATTENTION
def test_attention_over_queries(score, length=10**6):
    ours = attend(_kernels, score, attention_arrays(score, length, 2))
    exact = exact_attention(score, length, 2)
    assert_near(ours[3][0, 1, 1:], exact[3][0, 1, 1:], length)
    if score == "additive":
        assert_near(ours[-1][1:], exact[-1][1:], length)


@ATTENTION
def test_scores(score, length=10**6):
    """Of two keys, the second of which has the score 0."""
    one, keys = np.ones((1, 1, 1), np.float32), np.array([[[1], [-1]]], np.float32)
    W = np.full((1, length), 0.1, np.float32)
    if score == "dot":
        keys = keys * W
        keys[0, 1] = 0
        arguments, total = (one * W, keys, keys[:, :, :1], ()), float(W[0, 0]) ** 2
    else:
        v = np.full(length, 1e-5, np.float32)
        arguments, total = (one, keys, keys, (W, W, v)), float(v[0]) * np.tanh(2 * float(W[0, 0]))
    arguments[0][...] *= np.float32(1e-4) if score == "dot" else 1
    total *= length * (1e-4 if score == "dot" else 1)
    _, attention, _ = _kernels.attention_forward(*arguments, score=score, lengths=None, train=False)
    wanted = 1 / (1 + np.exp(-total))
    assert_within(attention[0, 0, :1], np.array([wanted]), total, length)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(rng, dtype, length, smoothing):
    logits = np.stack([np.full(length, -0.3), rng.uniform(-3, 0, length)]).astype(dtype)
    logits[:, 7] = 1
    x = logits.astype(np.float64)
    log_sum = np.log(np.exp(x).sum(axis=1))
    for row in range(2):
        loss, dlogits = _kernels.softmax_cross_entropy(
            logits[row : row + 1],
            np.array([7]),
            ignore_index=None,
            train=True,
            label_smoothing=smoothing,
        )
        wanted = log_sum[row] - (1 - smoothing) - smoothing * x[row].mean()
        assert_within(np.array(loss, dtype), wanted, 2 + wanted, length)
        p = np.exp(x[row] - log_sum[row])
        assert_within(dlogits[0, 8:], p[8:] - smoothing / length, 2 * p[8:], length)


def test_log_probability_of_a_token(dtype, length):
    weights = np.zeros((1, 3), dtype), np.zeros((1, 3), dtype), np.zeros(3, dtype)
    logits = np.full(length, -0.3, dtype)
    logits[7] = 1
    decoder = ops.DecoderWeights(
        cell="gru",
        cells=[(*weights, np.zeros(1, dtype))],
        embedding=np.zeros((length, 1), dtype),
        output=(np.zeros((1, length), dtype), logits),
    )
    state = np.zeros((1, 1, 1), dtype)
    found = ops.decode_greedy(decoder, [state], end=None, max_length=1)
    log_sum = np.log(np.exp(logits.astype(np.float64)).sum())
    assert found.tokens[0, 0] == 7
    assert_within(np.array(found.log_probability[0], dtype), 1 - log_sum, log_sum, length)


ARRAYS = "x", "fed", "states", "memory", "cells", "weights", "readout", "upstream"


def converted(value, dtype):
    """A copy of the numbers of a problem in another type."""
    if isinstance(value, list | tuple):
        return type(value)(converted(part, dtype) for part in value)
    return None if value is None else value.astype(dtype)


def test_additive_score_of_a_decoder(rng, length=10**5):
    """The state rests, so that what the steps add to the memory's gradient is alike."""
    sizes = {"N": 1, "T": length, "S": 2, "E": 1, "H": 1, "M": 2, "A": 2, "R": 1}
    problem = decoder_problem("lstm", rng, score="additive", dtype=np.float32, **sizes)
    problem.x[...] = 0.3
    problem.upstream[0][...] = 0
    problem.upstream[1][...] = [0, 1]
    ours = problem.backward(_kernels, problem.forward(_kernels)[-1])
    wide = {name: converted(getattr(problem, name), np.float64) for name in ARRAYS}
    problem = replace(problem, **wide)
    exact = problem.backward(_kernels, problem.forward(_kernels)[-1])
    for name in "memory", "weight 1", "weight 2":
        assert_within(ours[name], exact[name], np.abs(exact[name]).max(), length)
