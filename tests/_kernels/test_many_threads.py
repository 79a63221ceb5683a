"""Eight Python threads at once, with the GIL or without: the results are those of one.

FASTRNN_HAMMER_SECONDS is how long a test goes on.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastrnn
from fastrnn import _kernels
from fastrnn._kernels.runtime import memory

SECONDS = float(os.environ.get("FASTRNN_HAMMER_SECONDS", "1"))
THREADS = 8
CELLS = (fastrnn.RNN, fastrnn.LSTM, fastrnn.GRU)


@pytest.fixture(autouse=True)
def frequent_switches():
    before = sys.getswitchinterval(), _kernels.get_num_threads()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before[0])
    _kernels.set_num_threads(before[1])


def hammer(*jobs):
    """Call each job with 0, 1, ... in a thread of its own, until time is up or one has failed.

    Prints how often each was called.
    """
    start, failed = threading.Barrier(len(jobs), timeout=60), threading.Event()

    def repeat(job):
        start.wait()
        end, turn = time.monotonic() + SECONDS, 0
        try:
            while turn == 0 or (time.monotonic() < end and not failed.is_set()):
                job(turn)
                turn += 1
        except BaseException:
            failed.set()
            raise
        return turn

    with ThreadPoolExecutor(len(jobs)) as pool:
        calls = [pool.submit(repeat, job) for job in jobs]
        print("turns of each thread:", *(call.result() for call in calls))


def normal(rng, *shape):
    return rng.standard_normal(shape, np.float32)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("H", [24, 250], ids=["short steps", "long steps"])
def test_one_frozen_layer(cell, H):
    rng = np.random.default_rng(1)
    layer = cell(20, H, 2, rng=rng).eval()
    batches = [normal(rng, 1 + thread % 3, 5, 20) for thread in range(THREADS)]
    wanted = [layer(x, num_threads=1)[0] for x in batches]
    layer.freeze()

    def job(x, wanted):
        def steps(turn):
            state = out = None
            for t in range(x.shape[1]):
                y, state = layer.step(x[:, t].copy(), state, out)
                np.testing.assert_array_equal(y, wanted[:, t])
                out = (y, state) if turn % 2 else None

        def whole(turn):
            np.testing.assert_array_equal(layer(x)[0], wanted)

        return lambda turn: whole(turn) if turn % 5 == 4 else steps(turn)

    hammer(*map(job, batches, wanted))


def trained(seed):
    """The parameters after two steps of a layer of its own."""
    rng = np.random.default_rng(seed)
    layer = CELLS[seed % 3](30, 40, 2, bidirectional=True, dropout=0.2, rng=rng)
    optimizer = fastrnn.training.SGD(0.1)
    for _ in range(2):
        y, _ = layer(normal(rng, 40, 6, 30), lengths=rng.integers(0, 7, 40))
        layer.backward(y)
        optimizer.update(layer.params, layer.grads)
    return layer.params


def test_everything_else_meanwhile():
    rng = np.random.default_rng(2)
    shared = fastrnn.GRU(30, 40, 2, bidirectional=True, rng=rng).eval()
    attention = fastrnn.Attention(40, 80, score="additive", rng=rng).eval()
    x, query = normal(rng, 40, 9, 30), normal(rng, 40, 3, 40)
    ends = rng.integers(1, 10, 40)

    def evaluate(_=None):
        y, _ = shared(x, lengths=ends)
        return attention(query, y, lengths=ends)

    def same(call):
        wanted = call()
        return lambda turn: np.testing.assert_equal(call(), wanted)

    _kernels.set_num_threads(1)
    hammer(
        *[same(evaluate) for _ in range(3)],
        *[same(lambda seed=seed: trained(seed)) for seed in range(3)],
        lambda turn: _kernels.set_num_threads(1 + turn % 3),
        lambda turn: memory.release() if turn % 100 == 0 else time.sleep(1e-4),
    )


def test_blocks_of_memory():
    """A block belongs to one array at a time, whichever threads take and free it."""
    memory.release()
    passed_on = queue.SimpleQueue()

    def job(thread):
        rng = np.random.default_rng(thread)
        held = []

        def take(turn):
            # Sizes that the kept blocks have, or nearly, or not.
            count = int(rng.choice([5_000, 5_500, 20_000, 300_000])) + turn % 7
            array = memory.empty((count,), np.float64)
            number = turn * THREADS + thread
            array[:] = number
            held.append((array, number))
            if len(held) > 5:
                array, number = held.pop(int(rng.integers(5)))
                assert array[0] == number and (array == number).all()
                passed_on.put(array)
                del array
                passed_on.get()  # perhaps another thread's, which is freed here
            if turn % 500 == 499:
                memory.release()

        return take

    hammer(*map(job, range(THREADS)))
    assert memory.release() <= 1 << 28
    assert memory.release() == 0


WARNED = """
import os, sys, threading, warnings
import numpy as np
import fastrnn

layer = fastrnn.Linear(600, 600, rng=0)
x = np.ones((600, 600), np.float32)
layer(x)
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
barrier = threading.Barrier(8)

def call():
    barrier.wait()
    layer(x)

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(len(caught))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_one_of_many_threads_warns():
    done = subprocess.run(
        [sys.executable, "-c", WARNED],
        env={**os.environ, "FASTRNN_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "1\n", done.stdout + done.stderr
