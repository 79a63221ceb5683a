"""Nothing is leaked, nothing is kept that the backward does not need."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from support.memory import resident_bytes
from support.problems import VARIANTS, attention_problem, decoder_problem, recurrent_problem

from fastrnn import _kernels
from fastrnn._kernels.runtime import memory


@pytest.fixture
def traced():
    """Trace what Python, NumPy and the kernels' work space allocate."""
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak(function):
    """Most bytes held at once during a call that finds no memory of those before it."""
    memory.release()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    function()
    return tracemalloc.get_traced_memory()[1] - before


def test_no_growth_over_10000_calls(make_call):
    call = make_call(np.random.default_rng(1), 2, 5, "float32")

    def repeat(times):
        for _ in range(times):
            call()
        gc.collect()

    # Under the trace a call takes several times as long. Python's free lists take some bytes; an
    # object lost in every call, or in every third, is more.
    tracemalloc.start()
    try:
        repeat(500)  # until the allocators have taken what they keep
        held = [tracemalloc.get_traced_memory()[0]]
        for _ in range(2):  # what something else has taken meanwhile, it takes but once
            repeat(2_000)
            held.append(tracemalloc.get_traced_memory()[0])
        assert np.diff(held).min() < 10_000
    finally:
        tracemalloc.stop()
    resident = resident_bytes()
    repeat(10_000)
    assert resident_bytes() - resident < 4_000_000


@pytest.mark.parametrize("variant", VARIANTS)
def test_inference_keeps_no_tape(variant, traced):
    problem = recurrent_problem(
        variant, np.random.default_rng(2), N=8, T=200, D=16, H=32, dtype=np.float32
    )
    weights = sum(array.nbytes for array in problem.weights.values())
    inference = peak(lambda: problem.forward(_kernels, train=False))
    training = peak(lambda: problem.forward(_kernels, train=True))
    assert training - inference > 0.9 * problem.dy.nbytes
    assert inference < 1.2 * problem.dy.nbytes + 2 * weights


@pytest.mark.parametrize("context", ["input_feeding", "input"])
def test_inference_of_a_decoder_keeps_no_tape(context, traced):
    sizes = {"N": 8, "T": 100, "E": 16, "H": 32, "M": 16, "R": 16, "layers": 2}
    problem = decoder_problem(
        "lstm", np.random.default_rng(5), context=context, dtype=np.float32, **sizes
    )
    gates = 2 * 4 * 32 * 8 * 100 * 4  # of both layers at every step
    inference = peak(lambda: problem.forward(_kernels, train=False))
    training = peak(lambda: problem.forward(_kernels, train=True))
    assert training - inference > gates
    assert inference < gates / 2


def test_additive_attention_stores_no_hidden_layer(traced):
    problem = attention_problem(
        "additive", np.random.default_rng(3), N=2, Tq=50, Tk=60, A=40, dtype=np.float32
    )
    hidden = 2 * 50 * 60 * 40 * 4

    def call():
        problem.backward(_kernels, problem.forward(_kernels)[2])

    assert peak(call) < hidden / 2


def test_memory_of_a_call_serves_the_next_one(traced):
    problem = recurrent_problem(
        "lstm", np.random.default_rng(4), N=8, T=100, D=16, H=32, dtype=np.float32
    )

    def call():
        problem.backward(_kernels, problem.forward(_kernels)[2])

    first = peak(call)
    kept = memory.release()
    assert first / 2 < kept <= first
    call()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    call()
    assert tracemalloc.get_traced_memory()[1] - before < first / 2
    assert memory.release() == kept
