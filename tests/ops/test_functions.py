"""linear, embedding, dropout, softmax_cross_entropy, attention: against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.numeric import assert_close, random_lengths
from support.problems import DECODER_CELLS, SCORES, attention_problem, decoder_problem

from fastrnn import _reference, ops

RTOL = {"float32": 2e-5, "float64": 1e-11}


def normal(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("outer", [(), (4,), (3, 5), (2, 0), (2, 3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(outer, bias, dtype, backend):
    rng = np.random.default_rng(1)
    x, W, dy = (
        normal(rng, dtype, *outer, 3),
        normal(rng, dtype, 3, 5),
        normal(rng, dtype, *outer, 5),
    )
    b = normal(rng, dtype, 5) if bias else None
    rows, drows = x.reshape(-1, 3), dy.reshape(-1, 5)
    wanted = _reference.linear_forward(rows, W, b)
    dx, dW, db = _reference.linear_backward(drows, rows, W, bias=bias)

    y, stash = ops.linear_forward(x, W, b)
    grads = ops.linear_backward(dy, stash)
    np.testing.assert_array_equal(ops.linear(x, W, b), y)
    assert_close(y, wanted.reshape(*outer, 5), RTOL[dtype])
    assert_close(grads[0], dx.reshape(x.shape), RTOL[dtype])
    assert_close(grads[1], dW, RTOL[dtype])
    if bias:
        assert_close(grads[2], db, RTOL[dtype])
    else:
        assert grads[2] is None
    assert {y.dtype, grads[0].dtype, grads[1].dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("outer", [(), (6,), (3, 5), (0, 2)])
@pytest.mark.parametrize("integer", ["uint8", "int32", ">i8"])
def test_embedding(outer, integer, dtype, backend):
    rng = np.random.default_rng(2)
    W, dy = normal(rng, dtype, 4, 3), normal(rng, dtype, *outer, 3)
    ids = rng.integers(0, 4, outer)
    y, stash = ops.embedding_forward(np.asarray(ids, integer), W)
    np.testing.assert_array_equal(y, W[ids])
    np.testing.assert_array_equal(ops.embedding(ids, W), y)
    wanted = _reference.embedding_backward(dy.reshape(-1, 3), np.reshape(ids, -1), 4)
    assert_close(ops.embedding_backward(dy, stash), wanted, RTOL[dtype])


@pytest.mark.parametrize("shape", [(), (5,), (2, 0), (2, 3, 4)])
def test_tanh(shape, dtype, backend):
    x, dy = (normal(np.random.default_rng(seed), dtype, *shape) for seed in (3, 4))
    y, stash = ops.tanh_forward(x)
    np.testing.assert_array_equal(ops.tanh(x), y)
    dx = ops.tanh_backward(dy, stash)
    assert_close(y, np.tanh(x), RTOL[dtype])
    assert_close(dx, dy * (1 - np.tanh(x) ** 2), RTOL[dtype])
    assert y.shape == dx.shape == shape
    assert {y.dtype, dx.dtype} == {np.dtype(dtype)}


def test_dropout(dtype, backend):
    x, dy = (normal(np.random.default_rng(seed), dtype, 50, 40) for seed in (3, 4))
    y, stash = ops.dropout_forward(x, 0.25, rng=np.random.default_rng(5))
    kept = y != 0
    assert 0.70 < kept.mean() < 0.80
    assert_close(y, np.where(kept, x / 0.75, 0), 1e-6)
    assert_close(ops.dropout_backward(dy, stash), np.where(kept, dy / 0.75, 0), 1e-6)
    assert y.dtype == dtype
    np.testing.assert_array_equal(ops.dropout(x, 0.25, rng=np.random.default_rng(5)), y)


def test_dropout_draws_the_same_in_both_dtypes(backend):
    x = np.random.default_rng(6).standard_normal((9, 9))
    ys = [ops.dropout(x.astype(t), 0.5, rng=np.random.default_rng(7)) for t in ("f4", "f8")]
    np.testing.assert_array_equal(ys[0] == 0, ys[1] == 0)


@pytest.mark.parametrize("outer", [(), (6,), (3, 5), (0,)])
@pytest.mark.parametrize("ignore, smoothing", [(None, 0.0), (None, 0.2), (-1, 0.1), (2, 0.0)])
def test_softmax_cross_entropy(outer, ignore, smoothing, dtype, backend):
    rng = np.random.default_rng(8)
    logits, targets = normal(rng, dtype, *outer, 4), rng.integers(0, 4, outer)
    if ignore == -1 and outer:
        targets[..., ::2] = -1
    loss, dlogits = _reference.softmax_cross_entropy(
        logits.reshape(-1, 4),
        np.reshape(targets, -1),
        ignore_index=ignore,
        train=True,
        label_smoothing=smoothing,
    )
    options = {"ignore_index": ignore, "label_smoothing": smoothing}
    assert ops.softmax_cross_entropy(logits, targets, **options) == pytest.approx(loss, rel=1e-5)
    got, stash = ops.softmax_cross_entropy_forward(logits, targets, **options)
    assert got == pytest.approx(loss, rel=1e-5) and isinstance(got, float)
    for factor in (1.0, -2.5, 1.0):
        grad = ops.softmax_cross_entropy_backward(factor, stash)
        assert_close(grad, factor * dlogits.reshape(logits.shape), RTOL[dtype])
        assert grad.dtype == dtype


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("ragged", [False, True])
def test_attention(score, ragged, dtype, backend):
    rng = np.random.default_rng(9)
    problem = attention_problem(score, rng, dtype=dtype)
    lengths = random_lengths(rng, 4, 5) if ragged else None
    context, attention, stash = problem.forward(_reference, lengths=lengths)
    grads = problem.backward(_reference, stash)

    arguments = (*problem.inputs.values(), tuple(problem.weights.values()))
    options = {"score": score, "lengths": lengths, "num_heads": problem.heads}
    for got, wanted in zip(ops.attention(*arguments, **options), (context, attention), strict=True):
        assert_close(got, wanted, RTOL[dtype])
        assert got.dtype == dtype
    *outputs, stash = ops.attention_forward(*arguments, **options)
    for got, wanted in zip(outputs, (context, attention), strict=True):
        assert_close(got, wanted, RTOL[dtype])
    for name, grad in problem.backward(ops, stash).items():
        assert_close(grad, grads[name], RTOL[dtype], name)
        assert grad.dtype == dtype


@pytest.mark.parametrize("score", SCORES)
def test_attention_none_means_zeros(score, backend):
    problem = attention_problem(score, np.random.default_rng(10))
    arguments = (*problem.inputs.values(), tuple(problem.weights.values()))
    *_, stash = ops.attention_forward(*arguments, score=score)
    zeros = np.zeros_like(problem.dcontext), np.zeros_like(problem.dattention)
    for some, same in [
        ((None, problem.dattention), (zeros[0], problem.dattention)),
        ((problem.dcontext, None), (problem.dcontext, zeros[1])),
    ]:
        *inputs, weights = ops.attention_backward(*some, stash)
        *wanted, wanted_weights = ops.attention_backward(*same, stash)
        for grad, want in zip((*inputs, *weights), (*wanted, *wanted_weights), strict=True):
            assert_close(grad, want, 1e-12)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("N", "Tq", "Tk"), [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_attention_to_nothing(score, N, Tq, Tk, backend):
    problem = attention_problem(score, np.random.default_rng(11), N=N, Tq=Tq, Tk=Tk)
    arguments = (*problem.inputs.values(), tuple(problem.weights.values()))
    context, attention, stash = ops.attention_forward(*arguments, score=score)
    assert context.shape == (N, Tq, 2) and not context.any()
    assert attention.shape == (N, Tq, Tk)
    for name, grad in problem.backward(ops, stash).items():
        assert grad.shape == problem.arguments[name].shape and not grad.any()


@pytest.mark.parametrize("score", SCORES)
def test_attention_results_belong_to_the_caller(score, dtype, backend):
    p = attention_problem(score, np.random.default_rng(3), dtype=dtype)
    wanted = None
    for spoil in (False, True):
        context, attention, stash = ops.attention_forward(
            *p.inputs.values(), tuple(p.weights.values()), score=score
        )
        if spoil:
            context[...], attention[...] = 7, 7
        grads = ops.attention_backward(p.dcontext, None, stash)
        wanted = wanted or grads
        np.testing.assert_array_equal(grads[0], wanted[0])


@pytest.mark.parametrize("context", ["input_feeding", "input"])
@pytest.mark.parametrize("cell", DECODER_CELLS)
def test_attention_decoder(cell, context, dtype, backend):
    kind = {"layers": 3, "residual": True, "dropped": True, "ragged": True, "dtype": dtype}
    for score, R in (("multi_head", None), ("general", 4)):
        rng = np.random.default_rng(6)
        problem = decoder_problem(cell, rng, context=context, score=score, R=R, **kind)
        wanted = problem.forward(_reference)
        gradients = problem.backward(_reference, wanted[-1])
        inference = ops.attention_decoder(*problem.inputs, **problem.options)
        results = ops.attention_decoder_forward(*problem.inputs, **problem.options)
        for got in (problem.outputs((*inference, None)), problem.outputs(results)):
            for name, array in problem.outputs(wanted).items():
                assert_close(got[name], array, RTOL[dtype], name)
                assert got[name].dtype == dtype
        for name, gradient in problem.backward(ops, results[-1]).items():
            # A small difference of larger terms, through three layers and a softmax.
            assert_close(gradient, gradients[name], 4 * RTOL[dtype], name)
            assert gradient.dtype == dtype


@pytest.mark.parametrize("rows", [2, 50])  # fewer than half of the places, and more
@pytest.mark.parametrize("context", ["input_feeding", "input"])
def test_attention_decoder_on_an_embedding(context, rows, dtype, backend):
    rng = np.random.default_rng(8)
    problem = decoder_problem("lstm", rng, context=context, ended=True, T=5, dtype=dtype)
    embedding, ids = normal(rng, dtype, rows, 3), rng.integers(0, rows, (3, 5))
    problem.x = embedding[ids]
    wanted = problem.forward(_reference)
    gradients = problem.backward(_reference, wanted[-1])
    gradients["x"] = _reference.embedding_backward(gradients["x"].reshape(-1, 3), ids.ravel(), rows)
    problem.x, problem.kind["embedding"] = ids, embedding
    results = ops.attention_decoder_forward(*problem.inputs, **problem.options)
    for name, array in problem.outputs(wanted).items():
        assert_close(problem.outputs(results)[name], array, RTOL[dtype], name)
    for name, gradient in problem.backward(ops, results[-1]).items():
        assert_close(gradient, gradients[name], 4 * RTOL[dtype], name)


@pytest.mark.parametrize("context", ["input_feeding", "input"])
def test_attention_decoder_none_means_zeros(context, backend):
    problem = decoder_problem("lstm", np.random.default_rng(7), context=context)
    zeros = replace(
        problem,
        fed=None if problem.fed is None else 0 * problem.fed,
        states=[0 * state for state in problem.states],
        upstream=[
            None if array is None else 0 * array if i else array
            for i, array in enumerate([*problem.upstream[:3]])
        ]
        + [[0 * state for state in problem.states]],
    )
    nothing = replace(
        zeros,
        fed=None,
        states=[None, None],
        upstream=[problem.upstream[0], None, None, [None, None]],
    )
    everything = []
    for each in (zeros, nothing):
        results = ops.attention_decoder_forward(*each.inputs, **each.options)
        gradients = each.backward(ops, results[-1])
        everything.append({**each.outputs(results), **{f"d{k}": v for k, v in gradients.items()}})
    np.testing.assert_equal(*everything)


def test_softmax_cross_entropy_gradient_in_the_stash_is_read_only(dtype, backend):
    rng = np.random.default_rng(4)
    _, stash = ops.softmax_cross_entropy_forward(normal(rng, dtype, 3, 5), rng.integers(0, 5, 3))
    dlogits = ops.softmax_cross_entropy_backward(1.0, stash)
    with pytest.raises(ValueError, match="read-only"):
        dlogits[...] = 0
    np.testing.assert_array_equal(ops.softmax_cross_entropy_backward(0.5, stash), dlogits / 2)


def test_empty_lists_are_integers(dtype, backend):
    rng = np.random.default_rng(5)
    W = normal(rng, dtype, 4, 3)
    assert ops.embedding([], W).shape == (0, 3)
    assert ops.softmax_cross_entropy(W[:0], []) == 0
    keys = normal(rng, dtype, 0, 5, 3)
    context, attention = ops.attention(keys, keys, keys, lengths=[])
    assert context.shape == (0, 5, 3) and attention.shape == (0, 5, 5)
