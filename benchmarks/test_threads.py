"""Does a contender use as many threads as it is told?"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from cases import Recurrent
from contenders import installed
from contenders.fastrnn_reference import Reference
from harness import blas_threads

CASE = Recurrent("lstm", N=64, T=50, D=256, H=256)
TASKS = Path("/proc/self/task")
SECONDS = 0.4
# A thread takes part if it has at least this share of the time of all.
PART = 0.2

pytestmark = pytest.mark.skipif(not TASKS.exists(), reason="needs Linux's /proc")


def seconds_by_thread() -> Counter[str]:
    """Seconds on a processor of each thread of this process."""
    spent = {task.name: (task / "schedstat").read_text().split()[0] for task in TASKS.iterdir()}
    return Counter({name: int(nanoseconds) / 1e9 for name, nanoseconds in spent.items()})


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("kind", "question"),
    [
        pytest.param(kind, question, id=f"{kind.name}-{question}")
        for kind in installed()
        for question in ("inference", "training")
        if kind is not Reference and kind.answers(question, CASE)
    ],
)
def test_processor_time_is_that_of_the_threads(kind, question, threads):
    with blas_threads(threads):
        run = getattr(kind(threads), question)(CASE).run
        run()
        time.sleep(0.2)  # until the threads of earlier tests sleep
        before, start = seconds_by_thread(), time.perf_counter()
        while time.perf_counter() < start + SECONDS:
            run()
        wall, spent = time.perf_counter() - start, seconds_by_thread() - before
    assert spent.total() <= 1.1 * threads * wall
    taking_part = sum(seconds > PART * spent.total() for seconds in spent.values())
    assert taking_part >= min(threads, len(os.sched_getaffinity(0)))
