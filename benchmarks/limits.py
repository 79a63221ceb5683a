"""The machine's limits: the rates of bare multiply-adds and reads, measured beside each cell.

Both are loops in C, compiled for this processor or the instruction set that the process is held to
(by CC, or cc), on as many threads as the contenders have.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import simd

SOURCE = Path(__file__).with_name("limits.c")
FLAGS = ("-O3", "-ffp-contract=fast", "-shared", "-fPIC")
# Work of one call on each thread, some milliseconds.
FLOPS, BYTES = 4e9, 1e9


class Limit(NamedTuple):
    """A loop that runs at a limit of the machine, and the FLOPs or bytes of a call."""

    run: Callable[[], Any]
    amount: float


def missing() -> list[str]:
    """A line if the limits cannot be measured."""
    if _library() is None:
        return ["benchmarks: the machine's limits are left out, because there is no C compiler"]
    return []


def multiply_adds(threads: int) -> Limit | None:
    """Multiply-adds of float32 on registers."""
    if (library := _library()) is None:
        return None
    flops = library.round_flops()
    rounds = int(FLOPS / flops)
    return Limit(_on_threads(library.multiply_add, [(rounds,)] * threads), threads * rounds * flops)


def reads(size: int, threads: int) -> Limit | None:
    """Repeated reads of a block of `size` bytes; each thread reads its own part."""
    if (library := _library()) is None:
        return None
    parts = [_aligned(size // 4 // threads) for _ in range(threads)]
    rounds = max(1, int(BYTES / parts[0].nbytes))
    # The arrays are arguments, so that they live during the call.
    run = _on_threads(
        lambda part: library.read_block(part.ctypes.data_as(_FLOATS), part.size, rounds),
        [(part,) for part in parts],
    )
    return Limit(run, threads * rounds * parts[0].nbytes)


_FLOATS = ctypes.POINTER(ctypes.c_float)


@cache
def _library() -> ctypes.CDLL | None:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "limits.so"
        compiler = [os.environ.get("CC", "cc"), *FLAGS, *simd.compiler_flags()]
        command = [*compiler, str(SOURCE), "-o", str(built)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        library = ctypes.CDLL(str(built))
    library.round_flops.restype = ctypes.c_long
    library.multiply_add.argtypes = [ctypes.c_long]
    library.multiply_add.restype = ctypes.c_float
    library.read_block.argtypes = [_FLOATS, ctypes.c_long, ctypes.c_long]
    library.read_block.restype = ctypes.c_float
    return library


def _on_threads(call: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> Callable[[], Any]:
    """Call once with each of the arguments, in parallel; ctypes releases the GIL."""
    if len(arguments) == 1:
        return lambda: call(*arguments[0])
    pool = _pool(len(arguments))
    return lambda: list(pool.map(lambda given: call(*given), arguments))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that have a processor each, as the system may leave two on one of them for long."""
    processors = count()
    return ThreadPoolExecutor(threads, initializer=lambda: _stay_on(next(processors)))


def _stay_on(number: int) -> None:
    """Keep the calling thread on one of the processors that it may use."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})


def _aligned(size: int) -> np.ndarray[Any, Any]:
    """float32 zeros, written once, aligned to a cache line."""
    block = np.zeros(size + 16, np.float32)
    block += 0.0
    start = -block.ctypes.data // 4 % 16
    return block[start : start + size]
