"""Interleaved timing of several functions, so that other load affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

# Before a sample on several threads: a pause until the previous contender's threads stop spinning.
# After a call on two threads of a Zen 4 they spin for 40 to 48 ms in ONNX Runtime, 26 in OpenBLAS,
# 9 in OpenMP's runtimes (fastrnn, PyTorch), at most 3 in JAX and OpenVINO. Before each sample:
# calls to wake the own threads and fill the caches.
PAUSE_SECONDS, WARM_UP_SECONDS = 0.06, 0.002


def interleaved(
    runs: dict[str, Callable[[], Any]], rounds: int, sample: float, threads: int
) -> dict[str, float]:
    """Median seconds of a call; each round starts with another contender."""
    pause = PAUSE_SECONDS * (threads > 1)
    calls = {name: 1 + int(sample / _sample(run, 2, pause)) for name, run in runs.items()}
    found: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for _ in range(rounds):
        names.append(names.pop(0))
        for name in names:
            found[name].append(_sample(runs[name], calls[name], pause))
    return {name: statistics.median(samples) for name, samples in found.items()}


def _sample(run: Callable[[], Any], calls: int, pause: float) -> float:
    """Seconds of a call, after a warm-up for short calls."""
    time.sleep(pause)
    warm = time.perf_counter() + WARM_UP_SECONDS
    while calls > 1 and time.perf_counter() < warm:
        run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls
