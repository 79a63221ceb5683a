"""Fixtures of the kernel tests: module-wide, because hypothesis calls one test many times."""

from __future__ import annotations

import numpy as np
import pytest
from support import numeric
from support.decoders import random_decoder
from support.numeric import random_lengths
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

from fastrnn import _kernels, ops
from fastrnn._kernels.pointwise import elementwise
from fastrnn._kernels.runtime import cpu

UPDATES = {
    "sgd_update": (0, {"lr": 0.1}),
    "momentum_update": (1, {"lr": 0.1, "momentum": 0.9}),
    "adagrad_update": (1, {"lr": 0.1, "eps": 1e-7}),
    "rmsprop_update": (1, {"lr": 0.1, "rho": 0.9, "eps": 1e-7}),
    "adam_update": (
        2,
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "step": 3, "weight_decay": 0.1},
    ),
}


@pytest.fixture(scope="module", params=cpu.supported())
def isa(request):
    """Run the test on each instruction set of this machine."""
    before = cpu.chosen()
    cpu.choose(request.param)
    yield request.param
    cpu.choose(before)


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def assert_agree(dtype):
    """Compare dictionaries of results of unit normal data."""
    rtol = {"float32": 1e-5, "float64": 1e-11}[dtype]

    def compare(actual, wanted, exact=None):
        assert all(array.dtype == dtype for array in actual.values())
        numeric.assert_agree(actual, wanted, rtol, exact)

    return compare


@pytest.fixture(scope="module", params=UPDATES)
def update(request):
    """An optimizer's function as (name, number of moments, hyperparameters)."""
    return request.param, *UPDATES[request.param]


def recurrent(variant, rng, rows, width, dtype, **threads):
    problem = recurrent_problem(variant, rng, N=rows, T=4, D=width + 1, H=width, dtype=dtype)
    lengths = random_lengths(rng, rows, 4)

    def run():
        y, states, stash = problem.forward(_kernels, lengths=lengths, **threads)
        gradients = problem.backward(_kernels, stash, **threads)
        step = problem.step(_kernels, problem.x[:, 0].copy(), tuple(problem.states.values()))
        return [y, *states, *gradients.values(), *step]

    return run


def attention(score, rng, rows, width, dtype, **threads):
    sizes = {"Tq": 8, "Tk": 17, "Dq": width, "Dk": width, "Dv": width + 1, "A": width}
    problem = attention_problem(score, rng, N=rows, **sizes, dtype=dtype)
    lengths = random_lengths(rng, rows, 17)

    def run():
        *outputs, stash = problem.forward(_kernels, lengths=lengths, **threads)
        return [*outputs, *problem.backward(_kernels, stash, **threads).values()]

    return run


def attention_decoder(_, rng, rows, width, dtype, **threads):
    sizes = {"N": rows, "E": width, "H": width, "M": width, "R": width}
    problem = decoder_problem("lstm", rng, ragged=True, ended=True, dtype=dtype, **sizes)
    problem.kind["embedding"] = rng.standard_normal((5, width)).astype(dtype)
    problem.x = rng.integers(0, 5, problem.x.shape[:2])

    def run():
        results = problem.forward(_kernels, **threads)
        gradients = problem.backward(_kernels, results[-1], **threads)
        return [*problem.outputs(results).values(), *gradients.values()]

    return run


def linear(_, rng, rows, width, dtype, **threads):
    shapes = (4 * rows, width + 1), (width + 1, width), (width,), (4 * rows, width)
    x, W, b, dy = (rng.standard_normal(shape).astype(dtype) for shape in shapes)

    def run():
        y = _kernels.linear_forward(x, W, b, **threads)
        return [y, *_kernels.linear_backward(dy, x, W, bias=True, **threads)]

    return run


def softmax_cross_entropy(_, rng, rows, width, dtype, **threads):
    logits = rng.standard_normal((4 * rows, 5 * width)).astype(dtype)
    targets = rng.integers(0, 5 * width, 4 * rows)

    def run():
        loss, dlogits = _kernels.softmax_cross_entropy(
            logits, targets, ignore_index=targets[0], train=True, **threads
        )
        return [np.array(loss), dlogits]

    return run


def decoding(_, rng, rows, width, dtype, **threads):
    weights, states, given = random_decoder(rng, N=rows, H=width, L=1, dtype=dtype)
    options = {"beam_size": 3, "max_length": 3, "return_attention": True, **given, **threads}

    def run():
        found = ops.decode_beam(weights, states, **options)
        best = [results[0] for results in found]
        arrays = [array for result in best for array in (result.tokens, result.attention)]
        return [*arrays, np.array([result[1:4] for result in best])]

    return run


def unthreaded(_, rng, rows, width, dtype, **threads):
    x = rng.standard_normal((rows, width)).astype(dtype)
    keep = rng.random(x.shape) < 0.5
    ids = rng.integers(0, rows, 4 * rows)
    moments = np.abs(rng.standard_normal((2, *x.shape))).astype(dtype)

    def run():
        changed = [x.copy(), *moments.copy()]
        for name, (count, options) in UPDATES.items():
            getattr(_kernels, name)(changed[0], x, *changed[1 : 1 + count], **options)
        _kernels.scale_in_place(changed[0], 0.5)
        return [
            *changed,
            np.array(_kernels.squared_norm(x)),
            _kernels.embedding_backward(_kernels.embedding_forward(ids, x), ids, rows),
            _kernels.dropout(x, keep, 2.0),
            *(function(x) for function in (elementwise.exp, elementwise.sigmoid, elementwise.tanh)),
        ]

    return run


CALLS = {
    **dict.fromkeys(VARIANTS, recurrent),
    **dict.fromkeys(SCORES, attention),
    "attention_decoder": attention_decoder,
    "decoding": decoding,
    "linear": linear,
    "softmax_cross_entropy": softmax_cross_entropy,
    "unthreaded": unthreaded,
}


@pytest.fixture(scope="module", params=CALLS)
def make_call(request):
    """Every kernel in turn: a factory of calls without arguments that return a list of arrays.

    The factory takes a generator, rows, width, dtype and, by name, num_threads; from 64 rows and a
    width of 64 on, the work is enough for threads to be used.
    """

    def make(rng, rows, width, dtype, **threads):
        return CALLS[request.param](request.param, rng, rows, width, dtype, **threads)

    return make
