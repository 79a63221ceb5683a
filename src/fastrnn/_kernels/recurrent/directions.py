"""Two directions of a layer at once, each in a Python thread of its own.

The kernels let other Python threads run, and neither direction needs the other. That costs one
wake-up of a thread, as OpenMP does, and shares out also the packing of the weights.

The other thread begins late where something else has its processor: threads of an OpenMP library
that was loaded before `openmp_env` could set it, as by PyTorch, spin for some milliseconds. Then it
is better to run the directions one after the other. docs/decisions.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache, partial
from os import cpu_count
from threading import Event, Lock
from time import perf_counter_ns
from typing import Any, TypeVar

from fastrnn._kernels.runtime.interrupt import Stop
from fastrnn._kernels.runtime.threads import BackOff, leave_processor, processor, usable

Result = TypeVar("Result")

# Nanoseconds after which the other thread is late; one that sleeps begins within 0.2 ms.
LATE = 1_000_000
# Seconds after which a thread that waits for the other one looks whether a signal has come.
WAIT = 0.05
# For so many times as long as the other thread was late, calls are run in turn.
BACK_OFF = 100

_back_off = BackOff()


def run_directions(
    calls: Sequence[Callable[..., Result]], work: float, num_threads: int | None
) -> list[Result]:
    """Return the results of one or two directions, run at once where threads allow it.

    Each of the `calls` takes `num_threads` by name and does `work` multiply-adds.
    """
    each = threads_of_each(num_threads, work) if len(calls) == 2 else None
    if each is None or not _back_off.over():
        return [call(num_threads=num_threads) for call in calls]
    return list(at_once(*(partial(call, num_threads=each) for call in calls)))


def threads_of_each(num_threads: int | None, work: float) -> int | None:
    """Threads for each of two directions of `work` multiply-adds; None: not at once.

    An odd number of threads is of more use to one direction after the other.
    """
    total = usable(num_threads, work)
    return None if total % 2 else total // 2


def at_once(first: Callable[[], Result], second: Callable[[], Result]) -> tuple[Result, Result]:
    """Return the results of both, the second run in another thread but in this context.

    If the first fails, as where Ctrl-C interrupts it, the second is stopped, too.
    """
    start, caller, stop = perf_counter_ns(), processor(), Stop()
    taken, done = Lock(), Event()  # by the other thread, or by this one, so that it never begins

    def begin() -> Any:
        if not taken.acquire(blocking=False):
            return None
        try:
            leave_processor(caller)
            delay = perf_counter_ns() - start
            if delay >= LATE:
                _back_off.begin(BACK_OFF * delay)
            return stop.run(second)
        finally:
            done.set()

    try:
        try:
            other = _pool().submit(copy_context().run, begin)
        except RuntimeError:  # at the exit of the interpreter, or where the system refuses a thread
            return first(), second()
        result = stop.run(first)
        # A signal that comes just before a wait, or to another thread, does not end it.
        while not done.wait(WAIT):
            pass
        return result, other.result()
    except BaseException:  # also of a signal that came while the other thread was being started
        stop.set()
        if not taken.acquire(blocking=False):
            _wait(done)
        raise


def _wait(done: Event) -> None:
    """Wait, whatever signals come: what the call writes to is ours again after this."""
    while not done.is_set():
        with suppress(BaseException):
            done.wait()


@cache
def _pool() -> ThreadPoolExecutor:
    """Not used in a forked child: it has one thread."""
    return ThreadPoolExecutor(cpu_count(), thread_name_prefix="fastrnn")
