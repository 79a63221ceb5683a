"""Two directions of a layer at once, each in a Python thread of its own.

The kernels let other Python threads run, and neither direction needs the other. That costs one
wake-up of a thread, as OpenMP does, and shares out also the packing of the weights. LSTM D=H=128,
training on two threads, against one direction after the other: N1 T100 0.87 of the time, N8 T50
0.95, N32 T50 0.99.

The other thread begins late where something else has its processor: threads of an OpenMP library
that was loaded before `openmp_env` could set it, as by PyTorch, spin for some milliseconds. Then
the directions, too, had better use those threads, one after the other: on two processors, with
PyTorch loaded, a training step of an encoder (2 x 256, two layers, N128 T8) and its decoder takes
0.97 of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache, partial
from os import cpu_count
from time import perf_counter
from typing import TypeVar

from fastrnn._kernels.runtime.threads import usable

Result = TypeVar("Result")

# Seconds after which the other thread is late; one that sleeps begins within 0.2 ms.
LATE = 1e-3
# For so many times as long as the other thread was late, calls are run in turn.
PAUSE = 100


class Pause:
    """Until when calls are run in turn, as those at once have gone."""

    def __init__(self) -> None:
        self._end = 0.0

    def over(self) -> bool:
        """Whether the next call may be one at once."""
        return perf_counter() >= self._end

    def record_lateness(self, delay: float) -> None:
        """Take note of the seconds after which the other thread began."""
        if delay >= LATE:
            self._end = perf_counter() + PAUSE * delay


_pause = Pause()


def run_directions(
    calls: Sequence[Callable[..., Result]], work: float, num_threads: int | None
) -> list[Result]:
    """Return the results of one or two directions, run at once where threads allow it.

    Each of the `calls` takes `num_threads` by name and does `work` multiply-adds.
    """
    each = threads_of_each(num_threads, work) if len(calls) == 2 else None
    if each is None or not _pause.over():
        return [call(num_threads=num_threads) for call in calls]
    return list(at_once(*(partial(call, num_threads=each) for call in calls)))


def threads_of_each(num_threads: int | None, work: float) -> int | None:
    """Threads for each of two directions of `work` multiply-adds; None: not at once.

    An odd number of threads is of more use to one direction after the other.
    """
    total = usable(num_threads, work)
    return None if total % 2 else total // 2


def at_once(first: Callable[[], Result], second: Callable[[], Result]) -> tuple[Result, Result]:
    """Return the results of both, the second run in another thread but in this context."""
    start = perf_counter()

    def begin() -> Result:
        _pause.record_lateness(perf_counter() - start)
        return second()

    try:
        other = _pool().submit(copy_context().run, begin)
    except RuntimeError:  # at the exit of the interpreter, or where the system refuses a thread
        return first(), second()
    try:
        own = first()
    finally:
        other.exception()  # waits: what the second writes to is ours again after this
    return own, other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """Not used in a forked child: it has one thread."""
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="fastrnn")
