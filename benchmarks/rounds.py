"""Times several callables side by side, so that whatever else the machine does falls on all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

# Before a sample: time for the pools of the one before to stop spinning (OpenBLAS goes on for some
# hundredths of a second), and to wake one's own.
PAUSE_SECONDS, WARM_UP_SECONDS = 0.05, 0.002


def interleaved(runs: dict[str, Callable[[], Any]], rounds: int, sample: float) -> dict[str, float]:
    """Median seconds of a call, each round beginning with another contender."""
    calls = {name: 1 + int(sample / _sample(run, 1)) for name, run in runs.items()}
    found: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for _ in range(rounds):
        names.append(names.pop(0))
        for name in names:
            found[name].append(_sample(runs[name], calls[name]))
    return {name: statistics.median(samples) for name, samples in found.items()}


def _sample(run: Callable[[], Any], calls: int) -> float:
    """Seconds of a call, after a warm-up."""
    time.sleep(PAUSE_SECONDS)
    warm = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < warm:
        run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls
