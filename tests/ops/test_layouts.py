"""Strides, byte orders and other ways in which the same numbers may come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

from fastrnn import _reference, ops


def unaligned(array):
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = raw.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def readonly(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "Fortran order": np.asfortranarray,
    "every second column": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "last axis reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "first axis reversed": lambda a: a[::-1].copy()[::-1],
    "columns of a wider array": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
    "read-only": readonly,
    "unaligned": unaligned,
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "list": lambda a: a.tolist(),
}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


def identical(results, wanted):
    for result, want in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(result, want)


def close(results, wanted):
    for result, want in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result, want, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("variant", VARIANTS)
def test_recurrent(variant, layout, backend):
    # Weights in Fortran order stay so, and BLAS sums them in another order.
    equal = close if layout is np.asfortranarray and backend == "reference" else identical
    problem = recurrent_problem(variant, np.random.default_rng(1))
    forward = getattr(ops, f"{problem.cell.name}_forward")
    backward = getattr(ops, f"{problem.cell.name}_backward")
    step = getattr(ops, f"{problem.cell.name}_step")
    plain = list(problem.arguments.values())
    upstream = [problem.dy, *problem.dstates.values()]
    *wanted, stash = forward(*plain, **problem.options, lengths=[5, 0, 2, 3])
    lengths = np.array([5, 9, 0, 9, 2, 9, 3, 9], ">u2")[::2]
    *results, same = forward(*map(layout, plain), **problem.options, lengths=lengths)
    equal(results, wanted)
    wanted = [g for g in backward(*upstream, stash) if g is not None]
    equal([g for g in backward(*map(layout, upstream), same) if g is not None], wanted)
    plain[0] = problem.x[:, 0]
    np.testing.assert_array_equal(
        step(*map(layout, plain), **problem.options), step(*plain, **problem.options)
    )


@pytest.mark.parametrize("score", SCORES)
def test_attention(score, layout, backend):
    problem = attention_problem(score, np.random.default_rng(2))
    inputs, weights = problem.inputs.values(), problem.weights.values()
    *wanted, stash = ops.attention_forward(*inputs, tuple(weights), score=score)
    *results, same = ops.attention_forward(
        *map(layout, inputs), list(map(layout, weights)), score=score
    )
    identical(results, wanted)
    upstream = problem.dcontext, problem.dattention
    *wanted, dweights = ops.attention_backward(*upstream, stash)
    *results, same_dweights = ops.attention_backward(*map(layout, upstream), same)
    identical([*results, *same_dweights], [*wanted, *dweights])


def test_attention_decoder(layout, backend):
    equal = close if layout is np.asfortranarray and backend == "reference" else identical
    p = decoder_problem("gru_after", np.random.default_rng(6), layers=2, dropped=True)
    options = {"drops": p.options["drops"], "drop_h": p.options["drop_h"]}
    features, attention, last, finals, stash = ops.attention_decoder_forward(*p.inputs, **options)
    dx, dfed, dstates, dmemory, *dweights = ops.attention_decoder_backward(*p.upstream, stash)

    def each(arrays):
        return [layout(array) for array in arrays]

    laid = [layout(p.x), layout(p.fed), each(p.states), layout(p.memory)]
    cells = [each(cell) for cell in p.cells]
    weights = replace(p.decoder, cells=cells, weights=each(p.weights), readout=each(p.readout))
    options |= {name: layout(options[name]) for name in ("drops", "drop_h")}
    *results, same = ops.attention_decoder_forward(weights, *laid, **options)
    equal([*results[:3], *results[3]], [features, attention, last, *finals])
    *upstream, upstream_states = p.upstream
    results = ops.attention_decoder_backward(*each(upstream), each(upstream_states), same)
    equal(
        [results[0], results[1], *results[2], results[3], *results[4][0], *results[5], *results[6]],
        [dx, dfed, *dstates, dmemory, *dweights[0][0], *dweights[1], *dweights[2]],
    )


def test_the_others(layout, backend):
    rng = np.random.default_rng(3)
    x, W, b, dy = (rng.standard_normal(s) for s in [(2, 4, 3), (3, 5), (5,), (2, 4, 5)])
    y, stash = ops.linear_forward(x, W, b)
    results, same = ops.linear_forward(layout(x), layout(W), layout(b))
    identical([results], [y])
    identical(ops.linear_backward(layout(dy), same), ops.linear_backward(dy, stash))

    ids = rng.integers(0, 3, (2, 4))
    y, stash = ops.embedding_forward(ids, W)
    results, same = ops.embedding_forward(layout(ids), layout(W))
    identical([results], [y])
    identical([ops.embedding_backward(layout(dy), same)], [ops.embedding_backward(dy, stash)])

    targets = rng.integers(0, 5, (2, 4))
    assert ops.softmax_cross_entropy(layout(dy), layout(targets)) == ops.softmax_cross_entropy(
        dy, targets
    )
    identical([ops.tanh(layout(x))], [ops.tanh(x)])
    y, stash = ops.tanh_forward(dy)
    identical([ops.tanh_backward(layout(dy), stash)], [ops.tanh_backward(dy, stash)])
    seeds = [np.random.default_rng(4) for _ in range(2)]
    identical([ops.dropout(layout(x), 0.5, rng=seeds[0])], [ops.dropout(x, 0.5, rng=seeds[1])])


def received(monkeypatch, name, call):
    """Return the positional arguments that the backend's function receives."""
    seen = []
    original = getattr(_reference, name)

    def spy(*args, **kwargs):
        seen.extend(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(_reference, name, spy)
    call()
    return seen


def test_copies_are_made_only_where_needed(monkeypatch):
    rng = np.random.default_rng(5)
    problem = recurrent_problem("lstm", rng, N=4, T=5, D=3, H=2)
    x, h0, c0, Wx, Wh, b = problem.arguments.values()
    wide = rng.standard_normal((5, 4, 7))
    x = wide.transpose(1, 0, 2)[..., 2:5]  # the last axis is contiguous
    args = received(
        monkeypatch,
        "recurrent_forward",
        lambda: ops.lstm(x, h0[:, ::-1], c0, Wx, np.asfortranarray(Wh), b, backend="reference"),
    )
    _, x_given, states, (weights,) = args
    args = [x_given, *states, *weights]
    assert [np.shares_memory(a, g) for a, g in zip(args, (x, h0, c0, Wx, Wh, b), strict=True)] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert args[0].strides == x.strides
    assert all(a.strides[-1] == 8 for a in args[:4])
    assert args[4].flags.fnc  # weights stay transposed
    assert all(a.flags.c_contiguous for a in (args[3], args[5]))
    assert all(a.flags.aligned and a.dtype.isnative for a in args)


def test_the_arguments_stay_as_they_were(backend):
    problem = recurrent_problem("lstm", np.random.default_rng(6))
    kept = {name: array.copy() for name, array in problem.arguments.items()}
    *_, stash = ops.lstm_forward(*problem.arguments.values())
    upstream = problem.dy.copy(), *(d.copy() for d in problem.dstates.values())
    ops.lstm_backward(*upstream, stash)
    identical(problem.arguments.values(), kept.values())
    identical(upstream, (problem.dy, *problem.dstates.values()))
