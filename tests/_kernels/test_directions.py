"""Two directions at once: the same results, in the same context, and errors come out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastrnn._kernels.runtime.threads import BackOff

import fastrnn
from fastrnn._kernels import get_num_threads, set_num_threads
from fastrnn._kernels.recurrent import directions
from fastrnn._kernels.recurrent.directions import at_once, run_directions, threads_of_each


@pytest.fixture
def threads():
    """Set the number of threads for one test."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def test_threads_of_each(threads):
    threads(4)
    assert threads_of_each(None, 1e9) == threads_of_each(4, 1e9) == 2
    assert threads_of_each(2, 1e9) == 1
    assert threads_of_each(3, 1e9) is threads_of_each(1, 1e9) is threads_of_each(4, 1e5) is None


def test_at_once_means_in_another_thread():
    meeting = threading.Barrier(2, timeout=20)

    def who():
        meeting.wait()
        return threading.get_ident()

    first, second = at_once(who, who)
    assert first == threading.get_ident() != second


def test_backing_off():
    back_off = BackOff()
    assert back_off.over()
    back_off.begin(10**12)
    assert not back_off.over()
    back_off.begin(0)
    assert back_off.over()


def test_calls_after_a_late_thread_are_in_turn_and_have_all_threads(threads, monkeypatch):
    threads(4)
    given = []

    class LatePool:
        def submit(self, *call):
            time.sleep(2 * directions.LATE / 1e9)
            return pool.submit(*call)

    monkeypatch.setattr(directions, "_back_off", BackOff())
    monkeypatch.setattr(directions, "BACK_OFF", 10**6)
    monkeypatch.setattr(directions, "_pool", LatePool)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            run_directions([lambda num_threads: given.append(num_threads)] * 2, 1e9, None)
    assert given == [2, 2, None, None]


def test_the_other_thread_has_the_context():
    with fastrnn.backend("reference"):
        assert at_once(fastrnn.ops._backend.choose, fastrnn.ops._backend.choose) == (
            "reference",
            "reference",
        )


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_out_when_both_have_ended(failing):
    meeting, ended = threading.Barrier(2, timeout=20), []

    def fail():
        meeting.wait()
        raise ValueError("wrong")

    def end():
        meeting.wait()
        time.sleep(0.1)
        ended.append(True)

    calls = [end, end]
    calls[failing] = fail
    with pytest.raises(ValueError, match="wrong"):
        at_once(*calls)
    assert ended


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("cell", [fastrnn.RNN, fastrnn.LSTM, fastrnn.GRU])
def test_a_bidirectional_layer_on_any_number_of_threads(threads, cell, frozen):
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((3, 60, 90), np.float32), rng.standard_normal((3, 60, 300))
    lengths = np.array([60, 0, 31])
    layer = cell(90, 150, 2, bidirectional=True, rng=2)
    results = []
    for num_threads in (1, 2, 3, 4):
        threads(num_threads)
        if frozen:
            y, state = layer.freeze()(x, lengths=lengths)
            results.append([y, state])
            continue
        y, state = layer(x, lengths=lengths)
        dx, dstate = layer.backward(dy.astype(np.float32))
        results.append([y, state, dx, dstate, {k: g.copy() for k, g in layer.grads.items()}])
    for result in results[1:]:
        np.testing.assert_equal(result, results[0])
