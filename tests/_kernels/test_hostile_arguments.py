"""Whatever a caller passes is computed or refused; nothing crashes the interpreter."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest
from support.decoders import CONTEXTS, END, random_decoder
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

import fastrnn as fr
from fastrnn import ops

INT64 = np.iinfo(np.int64)


def hostile_values(valid):
    """Values to put in the place of a valid one: strangers, then relatives of an array."""
    yield from (None, True, 0, -1, 3, 2**31, 2**63, 2**70, -(2**63), 1.5, np.nan, np.inf, 1j)
    yield from ("", "text", b"bytes", [], [[1.0], [2.0, 3.0]], {}, object(), print, np.array("x"))
    for shape in ((), (0,), (1,), (3,), (0, 0), (3, 0), (3, 5), (0, 4, 5), (3, 0, 5), (1, 1, 1)):
        yield np.full(shape, 0.5, np.float32)
        yield np.full(shape, 2)
    yield from (np.full(3, number) for number in (INT64.min, INT64.max, -1, 5, 2**32))
    yield np.full(3, 2**64 - 1, np.uint64)
    if not isinstance(valid, np.ndarray) or not valid.ndim:
        return
    for dtype in ("?", "i1", "u8", "f2", "f4", "f8", "g", "F", "O", "S4", "M8[s]", "f4,i4", ">f4"):
        yield np.zeros(valid.shape, dtype)
    yield np.broadcast_to(valid[:1], valid.shape)
    yield np.lib.stride_tricks.as_strided(valid, valid.shape, (0,) * valid.ndim)
    yield from (valid[::-1], valid[..., ::-1], valid.T, valid[:-1], valid[..., :-1], valid[None])
    yield from (valid.tolist(), np.ma.masked_array(valid), valid.view(np.recarray))


def recurrent_calls(variant):
    problem = recurrent_problem(variant, np.random.default_rng(1), N=3, T=4, D=5, dtype="f4")
    cell, arguments, states = problem.cell.name, problem.arguments, list(problem.states.values())
    functions = [getattr(ops, f"{cell}_{name}") for name in ("forward", "backward", "step")]
    options = {"lengths": np.array([4, 0, 2]), "reverse": True, "num_threads": 2, "backend": None}
    options["drop_h"] = np.full((3, 2), 2, np.float32)
    *_, stash = functions[0](*arguments.values(), **problem.options)
    upstream = [problem.dy, *problem.dstates.values(), stash]
    weights = list(problem.weights.values())
    return [
        (functions[0], list(arguments.values()), {**options, **problem.options}),
        (functions[1], upstream, {"num_threads": 2}),
        (functions[2], [problem.x[:, 0], *states, *weights], problem.options),
    ]


def attention_calls(score):
    problem = attention_problem(score, np.random.default_rng(2), N=3, dtype="f4")
    weights = tuple(problem.weights.values())
    options = {
        "score": score,
        "lengths": np.array([5, 0, 2]),
        "num_heads": problem.heads,
        "num_threads": 2,
    }
    inputs = [*problem.inputs.values(), weights]
    *_, stash = ops.attention_forward(*inputs, score=score, num_heads=problem.heads)
    upstream = [problem.dcontext, problem.dattention, stash]

    def unpacked(query, keys, values, *weights, **options):
        return ops.attention(query, keys, values, weights, **options)

    return [
        (ops.attention_forward, inputs, options),
        (unpacked, [*problem.inputs.values(), *weights], options),
        (ops.attention_backward, upstream, {"num_threads": 2}),
    ]


def decoder_calls(context):
    kind = {"layers": 3, "residual": True, "dropped": True, "ragged": True, "dtype": "f4"}
    kind["ended"] = True
    p = decoder_problem("gru_after", np.random.default_rng(7), context=context, **kind)
    options = {**p.options, "num_threads": 2}
    drops = {name: options.pop(name) for name in ("drops", "drop_h")}
    *_, stash = ops.attention_decoder_forward(*p.inputs, **drops, **options)
    *upstream, dstates = p.upstream

    def unpacked(x, fed, h, memory, Wx, Wh, b, bh, W, Wc, bc, drops, drop_h, table=None, **options):
        weights = replace(
            p.decoder,
            cells=[(Wx, Wh, b, bh), *p.cells[1:]],
            weights=(W,),
            readout=(Wc, bc),
            embedding=table,
        )
        options |= {"drops": drops, "drop_h": drop_h}
        return ops.attention_decoder_forward(weights, x, fed, [h], memory, **options)

    def unpacked_backward(dfeatures, dattention, dfed, dh, **options):
        return ops.attention_decoder_backward(dfeatures, dattention, dfed, [dh], stash, **options)

    arrays = [p.x, p.fed, *p.states, p.memory, *p.cells[0], *p.weights, *p.readout]
    arrays += drops.values()
    ids, table = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]]), np.ones((2, 3), "f4")
    return [
        (unpacked, arrays, options),
        (unpacked, [ids, *arrays[1:], table], options),
        (ops.attention_decoder, list(p.inputs), options),
        (unpacked_backward, [*upstream, *dstates], {"num_threads": 2}),
        (ops.attention_decoder_backward, [*upstream, dstates, stash], {"num_threads": 2}),
    ]


def other_calls(_):
    rng = np.random.default_rng(3)
    x, W, b = (rng.standard_normal(shape).astype("f4") for shape in ((3, 5), (5, 3), (3,)))
    ids = np.array([2, 0, 1])
    param, grad, *moments = rng.random((4, 3, 5), "f4")
    rates = {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "eps": 1e-8, "step": 1, "weight_decay": 0.1}
    threads = {"num_threads": 2}
    return [
        (ops.linear_forward, [x, W, b], threads),
        (ops.linear_backward, [x[:, :3], ops.linear_forward(x, W, b)[1]], threads),
        (ops.embedding_forward, [ids, W], {}),
        (ops.embedding_backward, [x[:, :3], ops.embedding_forward(ids, W)[1]], {}),
        (ops.tanh_forward, [x], {}),
        (ops.tanh_backward, [x, ops.tanh_forward(x)[1]], {}),
        (partial(ops.dropout_forward, rng=rng), [x, 0.5], {}),
        (ops.dropout_backward, [x, ops.dropout_forward(x, 0.5, rng=rng)[1]], {}),
        (ops.softmax_cross_entropy_forward, [x, ids], {"ignore_index": 1, **threads}),
        (
            ops.softmax_cross_entropy_backward,
            [1.0, ops.softmax_cross_entropy_forward(x, ids)[1]],
            {},
        ),
        (ops.sgd_update, [param, grad], {"lr": 0.1}),
        (ops.momentum_update, [param, grad, moments[0]], {"lr": 0.1, "momentum": 0.9}),
        (ops.adagrad_update, [param, grad, moments[0]], {"lr": 0.1, "eps": 1e-8}),
        (ops.rmsprop_update, [param, grad, moments[0]], {"lr": 0.1, "rho": 0.9, "eps": 1e-8}),
        (ops.adam_update, [param, grad, *moments], rates),
        (ops.squared_norm, [x], {}),
        (ops.scale_in_place, [x.copy(), 0.5], {}),
    ]


def decoding_calls(context):
    weights, states, given = random_decoder(np.random.default_rng(5), context=context, N=3, P=2)
    weights.output[1][END] = 50  # so that a search of any length ends
    options = {
        **given,
        "start": np.array([1, 3, 2]),
        "end": END,
        "max_length": 4,
        "exclude": np.zeros(7, bool),
        "return_attention": False,
        "num_threads": 2,
    }
    forced = {"forced": np.ones((3, 4), int), "use_forced": np.zeros((3, 4), bool)}
    drawing = {"temperature": 1.0, "top_k": 3, "top_p": 0.5, "seed": np.array([1, 2, 3])}
    beam = {"beam_size": 3, "n_best": 2, "length_penalty": 0.0, "coverage_penalty": 0.0}
    names = [field.name for field in fields(weights)]

    def of_weights(*values):
        return ops.decode_beam(
            replace(weights, **dict(zip(names, values, strict=True))), states, **options
        )

    return [
        (ops.decode_greedy, [weights, states], options),
        (ops.decode_greedy, [weights, states], options | forced),
        (ops.decode_sample, [weights, states], options | drawing),
        (ops.decode_beam, [weights, states], options | beam),
        (of_weights, [getattr(weights, name) for name in names], {}),
    ]


def layer_calls(_):
    rng = np.random.default_rng(4)
    x, h = (rng.standard_normal(shape).astype("f4") for shape in ((3, 4, 5), (4, 3, 2)))
    threads = {"num_threads": 2}
    calls = []
    for cell in (fr.RNN, fr.LSTM, fr.GRU):
        layer = cell(5, 2, 2, bidirectional=True, rng=1)
        state = (h, h) if cell is fr.LSTM else h
        y, _ = layer(x, state)
        calls += [
            (layer.backward, [y, state], threads),
            (layer, [x, state], {"lengths": np.array([4, 0, 2]), **threads}),
            (cell(5, 2, 4, rng=1).step, [x[:, 0], state], {}),
        ]
        frozen = cell(5, 2, 2, bidirectional=True, rng=1).freeze()
        out = np.empty((3, 2), "f4"), (h.copy(), h.copy()) if cell is fr.LSTM else h.copy()
        calls += [
            (frozen, [x, state], {}),
            (frozen, [x, state], {"lengths": np.array([4, 0, 2]), **threads}),
            (cell(5, 2, 4, rng=1).freeze().step, [x[:, 0].copy(), state], {"out": out}),
        ]
    embedding, attention = fr.Embedding(7, 3, rng=1), fr.Attention()
    dy, context = embedding(np.array([1, 6])), attention(x, x, x)[0]
    return [
        *calls,
        (embedding.backward, [dy], {}),
        (embedding, [np.array([1, 6])], {}),
        (attention.backward, [context, None], threads),
        (attention, [x, x, x], {"lengths": np.array([4, 0, 2]), **threads}),
    ]


@pytest.mark.parametrize(
    ("make_calls", "what"),
    [(recurrent_calls, variant) for variant in VARIANTS]
    + [(attention_calls, score) for score in SCORES]
    + [(decoding_calls, context) for context in CONTEXTS]
    + [(decoder_calls, context) for context in ("input_feeding", "input")]
    + [(other_calls, "others"), (layer_calls, "layers")],
)
@pytest.mark.filterwarnings("ignore")
def test_one_hostile_argument(make_calls, what):
    refused = computed = 0
    for function, arguments, options in make_calls(what):
        function(*arguments, **options)
        for place in (*range(len(arguments)), *options):
            valid = options[place] if isinstance(place, str) else arguments[place]
            for value in hostile_values(valid):
                positional, keywords = list(arguments), dict(options)
                (keywords if isinstance(place, str) else positional)[place] = value
                try:
                    function(*positional, **keywords)
                    computed += 1
                except (ValueError, TypeError):
                    refused += 1
    assert refused > computed > 0


def test_sizes_that_only_an_empty_array_can_have():
    y, _ = fr.LSTM(1, 1, rng=1)(np.empty((0, 2**60, 1), np.float32))
    assert y.shape == (0, 2**60, 1)


def test_more_threads_than_a_system_can_start():
    x = np.random.default_rng(5).standard_normal((2_000, 8, 8), np.float32)
    layer = fr.LSTM(8, 8, rng=1).eval()
    assert np.array_equal(layer(x, num_threads=100_000)[0], layer(x, num_threads=1)[0])


def test_one_query_over_many_keys_needs_little_memory():
    query, keys = (
        np.random.default_rng(6).standard_normal((1, T, 8), np.float32) for T in (1, 60_000)
    )
    attention = fr.Attention(rng=1)
    context, _ = attention(query, keys)
    assert attention.backward(context)[1].shape == keys.shape


@pytest.mark.parametrize("score", SCORES)
def test_a_backward_of_attention_after_an_argument_was_reshaped(score):
    for place in range(3 + len(attention_problem(score, np.random.default_rng(8)).weights)):
        p = attention_problem(score, np.random.default_rng(8))
        inputs, weights = list(p.inputs.values()), list(p.weights.values())
        *_, stash = ops.attention_forward(*inputs, weights, score=score, num_heads=p.heads)
        reshaped = (inputs + weights)[place]
        reshaped.resize((1,) * reshaped.ndim, refcheck=False)
        with pytest.raises(
            ValueError, match=r"^Attention: \w+ must lie as in the forward, float64"
        ):
            ops.attention_backward(p.dcontext, p.dattention, stash)
