"""A signal whose handler raises ends a call before its work is done, and changes nothing."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastrnn._kernels.runtime.threads import BackOff
from support.decoders import random_decoder
from support.numeric import random_lengths
from support.problems import (
    SCORES,
    VARIANTS,
    attention_problem,
    decoder_problem,
    recurrent_problem,
)

import fastrnn as fr
from fastrnn import _kernels, ops
from fastrnn._kernels.recurrent import directions
from fastrnn._kernels.recurrent.directions import at_once
from fastrnn._kernels.runtime import interrupt, thread_groups


@pytest.fixture(autouse=True)
def raising_sigint():
    """Have Python's own handler, as shells start background jobs with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    interrupt.ask_often(False)
    interrupt.interrupt_at(0)


@pytest.fixture
def per_group():
    """Set the threads of a group for one test."""
    yield thread_groups.force_threads_per_group
    thread_groups.force_threads_per_group(0)


def questions_of(function):
    """Return how often a call asks for signals if it does so whenever it can, and its result."""
    interrupt.ask_often(True)
    before = interrupt.count_questions()
    result = function()
    interrupt.ask_often(False)
    return interrupt.count_questions() - before, result


def interrupt_at(number, function):
    """Interrupt a call when it asks so many times."""
    interrupt.ask_often(True)
    before = interrupt.count_questions()
    interrupt.interrupt_at(before + number)
    with pytest.raises(KeyboardInterrupt):
        function()
    assert interrupt.count_questions() == before + number
    interrupt.ask_often(False)


def assert_ends_early(function):
    """The call ends before its work is done, and then gives what one in larger pieces gives."""
    wanted = function()
    asked, result = questions_of(function)
    np.testing.assert_equal(result, wanted)
    assert asked > 2
    for number in {1, asked // 2, asked - 1}:
        interrupt_at(number, function)
        np.testing.assert_equal(function(), wanted)


def normal(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def recurrent(variant, num_threads, N=4, T=12, H=256, ragged=False):
    """A forward, and a function that goes back from one in training."""
    rng = np.random.default_rng(2)
    problem = recurrent_problem(variant, rng, N=N, T=T, D=64, H=H, dtype=np.float32)
    lengths = random_lengths(rng, N, T) if ragged else None

    def forward(train=True):
        return problem.forward(_kernels, num_threads=num_threads, lengths=lengths, train=train)

    stash = forward()[2]
    return forward, lambda: problem.backward(_kernels, stash, num_threads=num_threads)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("num_threads", "together"),
    [(1, 1), (2, 1), (2, 2), (4, 2)],
    ids=["one thread", "threads", "a group", "groups"],
)
def test_time_loops(variant, num_threads, together, per_group):
    per_group(together)
    forward, backward = recurrent(variant, num_threads, ragged=together == 1)
    assert_ends_early(lambda: forward(train=False)[:2])
    assert_ends_early(lambda: forward()[:2])
    assert_ends_early(backward)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_step_of_many_rows(variant, num_threads):
    forward, backward = recurrent(variant, num_threads, N=200, T=1, ragged=num_threads == 2)
    assert_ends_early(lambda: forward()[:2])
    assert_ends_early(backward)


@pytest.mark.parametrize("together", [True, False])
def test_two_directions(together, monkeypatch):
    monkeypatch.setattr(directions, "_back_off", BackOff())
    monkeypatch.setattr(directions, "LATE", 10**12)
    if not together:
        directions._back_off.begin(10**12)
    layer, x = fr.LSTM(64, 256, bidirectional=True, rng=0), normal(4, 30, 64)
    y, _ = layer(x, num_threads=2)
    assert_ends_early(lambda: layer(x, num_threads=2))
    assert_ends_early(lambda: layer.backward(y, num_threads=2))
    layer.freeze()
    assert_ends_early(lambda: layer(x, num_threads=2))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_an_embedding(num_threads):
    ids = np.random.default_rng(1).integers(0, 200, (8, 100))
    layer, table = fr.LSTM(256, 128, rng=0), normal(200, 256)
    call = {"embedding": table, "num_threads": num_threads}
    y, _ = layer(ids, **call)
    assert_ends_early(lambda: layer(ids, **call))
    assert_ends_early(lambda: layer.backward(y, num_threads=num_threads))


def test_frozen_stacks():
    layer, x = fr.GRU(128, 128, 3, rng=0).freeze(), normal(8, 50, 128)
    y, state = layer(x)
    assert_ends_early(lambda: layer(x))
    assert_ends_early(lambda: layer.step(x[:, 0], state))
    out = np.zeros_like(y[:, 0]), np.zeros_like(state)
    interrupt_at(2, lambda: layer.step(x[:, 0], state, out))
    np.testing.assert_equal(out, (0 * y[:, 0], 0 * state))
    wanted = layer.step(x[:, 0], state)
    np.testing.assert_equal(layer.step(x[:, 0], state, out), wanted)


@pytest.mark.parametrize("how", ["greedy", "sample", "beam"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_decoding(how, num_threads):
    rng = np.random.default_rng(3)
    weights, states, given = random_decoder(rng, N=6, V=40, H=256, dtype=np.float32)
    options = {"max_length": 40, "return_attention": True, "num_threads": num_threads, **given}
    options |= {"exclude": np.arange(40) == 2} if how == "beam" else {"end": None}
    options |= {"seed": 1} if how == "sample" else {}
    decode = getattr(ops, f"decode_{how}")

    def run():
        found = decode(weights, states, **options)
        if how != "beam":
            return [found.tokens, found.log_probability, found.attention]
        return [part for (best,) in found for part in (best.tokens, best.attention)]

    assert_ends_early(run)


def test_a_step_of_decoding_with_a_large_vocabulary():
    rng = np.random.default_rng(3)
    weights, states, given = random_decoder(rng, V=10_000, H=64, L=1, dtype=np.float32)
    options = {"max_length": 1, "end": None, "num_threads": 1, **given}
    assert questions_of(lambda: ops.decode_greedy(weights, states, **options))[0] > 100
    assert_ends_early(lambda: ops.decode_greedy(weights, states, **options).tokens)


@pytest.mark.parametrize("context", ["input_feeding", "input"])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_decoder_with_attention(context, score, num_threads):
    sizes = {"N": 80, "T": 5, "S": 7, "E": 32, "H": 64, "M": 64, "R": 32}
    problem = decoder_problem(
        "lstm",
        np.random.default_rng(4),
        context=context,
        score=score,
        ended=True,
        layers=2,
        dtype=np.float32,
        **sizes,
    )
    stash = problem.forward(_kernels, num_threads=num_threads)[-1]
    assert_ends_early(lambda: problem.outputs(problem.forward(_kernels, num_threads=num_threads)))
    assert_ends_early(lambda: problem.backward(_kernels, stash, num_threads=num_threads))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_products(num_threads):
    x, W, b, dy = normal(700, 300), normal(300, 200), normal(200), normal(700, 200)
    options = {"num_threads": num_threads}
    assert_ends_early(lambda: _kernels.linear_forward(x, W, b, **options))
    assert_ends_early(lambda: _kernels.linear_backward(dy, x, W, bias=True, **options))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_attention(score, num_threads):
    sizes = {"N": 3, "Tq": 250, "Tk": 301, "Dq": 40, "Dk": 40, "Dv": 40, "A": 40}
    problem = attention_problem(score, np.random.default_rng(5), dtype=np.float32, **sizes)
    stash = problem.forward(_kernels, num_threads=num_threads)[-1]
    assert_ends_early(lambda: problem.forward(_kernels, num_threads=num_threads)[:2])
    assert_ends_early(lambda: problem.backward(_kernels, stash, num_threads=num_threads))


@pytest.mark.parametrize("num_threads", [1, 2])
def test_cross_entropy(num_threads):
    logits, targets = normal(60, 10_000), np.arange(60)
    options = {"ignore_index": 3, "train": True, "num_threads": num_threads}
    assert_ends_early(lambda: _kernels.softmax_cross_entropy(logits, targets, **options))


def test_a_layer_keeps_its_last_forward_and_its_gradients():
    layer, x = fr.LSTM(64, 128, 2, rng=0), normal(4, 30, 64)
    dy, _ = layer(x)
    wanted = layer.backward(dy), {key: grad.copy() for key, grad in layer.grads.items()}
    interrupt_at(40, lambda: layer(2 * x))  # in its second layer, and so is the backward
    for grad in layer.grads.values():
        grad.fill(7)
    interrupt_at(40, lambda: layer.backward(dy))
    assert all((grad == 7).all() for grad in layer.grads.values())
    np.testing.assert_equal((layer.backward(dy), layer.grads), wanted)


def test_what_another_handler_raises_comes_out():
    def fail(*_):
        raise TimeoutError("too long")

    signal.signal(signal.SIGINT, fail)
    forward, _ = recurrent("lstm", 2)
    interrupt.ask_often(True)
    interrupt.interrupt_at(interrupt.count_questions() + 10)
    with pytest.raises(TimeoutError, match="too long"):
        forward()


def test_a_handler_may_call_the_same_layer():
    layer, x = fr.LSTM(64, 256, rng=0).freeze(), normal(4, 30, 64)
    wanted, inner = layer(x), []
    signal.signal(signal.SIGINT, lambda *_: inner.append(layer(x)))
    interrupt.ask_often(True)
    interrupt.interrupt_at(interrupt.count_questions() + 10)
    np.testing.assert_equal((layer(x), *inner), (wanted, wanted))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_a_signal_of_the_system():
    forward, _ = recurrent("lstm", 2, T=2_000)
    interrupt.ask_often(True)
    came = []

    def handle(*_):
        came.append(interrupt.count_questions())
        raise KeyboardInterrupt

    signal.signal(signal.SIGVTALRM, handle)
    asked, _ = questions_of(forward)
    interrupt.ask_often(True)
    begun = interrupt.count_questions()
    signal.setitimer(signal.ITIMER_VIRTUAL, 5e-3)
    with pytest.raises(KeyboardInterrupt):
        forward()
    assert begun < came[0] < begun + asked


def test_calls_of_other_threads_go_on():
    layers = [fr.LSTM(64, 256, rng=seed).eval() for seed in (0, 1)]
    x = normal(4, 1_000, 64)
    wanted = layers[1](x)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(layers[1], x)
        interrupt_at(10, lambda: layers[0](x))
        np.testing.assert_equal(other.result(), wanted)


def test_only_the_main_thread_asks():
    forward, _ = recurrent("lstm", 1)
    assert questions_of(forward)[0] > 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(questions_of, forward).result()[0] == 0


def until_stopped(started, ended):
    """Call a kernel again and again, until it is stopped."""
    started.set()
    with pytest.raises(KeyboardInterrupt):
        forward, _ = recurrent("lstm", 1, T=1_000)
        while True:
            forward(train=False)
    ended.append(True)


def test_a_direction_that_fails_stops_the_other():
    started, ended = threading.Event(), []

    def fail():
        assert started.wait(60)
        raise MemoryError

    with pytest.raises(MemoryError):
        at_once(fail, lambda: until_stopped(started, ended))
    assert ended


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal wakes a thread")
@pytest.mark.parametrize("woken", [True, False])
def test_a_signal_while_one_direction_waits_for_the_other(woken):
    """What another thread hears, or this one just before its wait, does not wake it."""
    started, ended = threading.Event(), []

    def second():
        thread = threading.main_thread() if woken else threading.current_thread()
        signal.pthread_kill(thread.ident, signal.SIGINT)
        until_stopped(started, ended)

    with pytest.raises(KeyboardInterrupt):
        at_once(lambda: None, second)
    assert ended


def test_an_optimizer_finishes_a_parameter(update):
    name, moments, options = update
    arrays = [np.abs(normal(3_000_000)) for _ in range(2 + moments)]
    assert questions_of(lambda: getattr(_kernels, name)(*arrays, **options))[0] == 0


@pytest.mark.parametrize("begun", [False, True])
def test_a_signal_while_the_other_direction_is_started(begun, monkeypatch):
    started, ended = threading.Event(), []

    class Pool(ThreadPoolExecutor):
        def submit(self, *call):
            if begun:
                super().submit(*call)
                assert started.wait(60)
            raise KeyboardInterrupt

    with Pool(1) as pool:
        monkeypatch.setattr(directions, "_pool", lambda: pool)
        with pytest.raises(KeyboardInterrupt):
            at_once(lambda: None, lambda: until_stopped(started, ended))
        assert bool(ended) == begun
