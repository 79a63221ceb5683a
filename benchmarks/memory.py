"""Memory: the peak of a forward and backward, and growth over many calls, each in a new process.

The peak is the rise of VmHWM (resident memory) during the call: its allocations, including results.
Inputs, upstream gradients and weights exist before, and a call on a small case has loaded code and
pools. Linux only.

    python benchmarks/memory.py training lstm 32 50 256 256 fastrnn
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cases import Attention, Recurrent
from contenders import installed
from contenders.fastrnn_compiled import Fastrnn
from contenders.fastrnn_frozen import Frozen
from records import PLAIN, PYTORCH, Record

TRAINING = [
    Recurrent("lstm", N=32, T=50, D=256, H=256),
    Recurrent("lstm", N=128, T=50, D=128, H=256),
    Recurrent("lstm", N=20, T=35, D=650, H=650),
    Recurrent("gru", N=32, T=50, D=256, H=256),
    Recurrent("gru_before", N=32, T=50, D=256, H=256),
    Recurrent("rnn", N=32, T=50, D=256, H=256),
]
ATTENTION = [Attention("additive", N=64, Tq=30, Tk=40, size=256)]
SMALL_LAYER = Recurrent("lstm", N=2, T=3, D=16, H=16)
SMALL_ATTENTION = Attention("additive", N=2, Tq=3, Tk=4, size=16)
GROWTH_CALLS = 10_000
# Blocks of 128 kB or more are returned to the system; by default glibc raises this threshold.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def stash_bytes(case: Recurrent) -> int:
    """Bytes that a backward needs: the activated gates, and h and c of all steps and at first.

    x and the weights belong to the caller. An only gate is h. A GRU that resets after the product
    also keeps `h Un + bh`, which the reset gate multiplies.
    """
    N, T, H, gates = case.N, case.T, case.H, len(case.row.gates)
    kept = 0 if gates == 1 else gates + case.splits_bias
    return 4 * (N * T * kept * H + len(case.states) * (T + 1) * N * H)


def result_bytes(case: Recurrent) -> int:
    """Bytes of the results: y, dx, the states, and the gradients of states and weights."""
    N, T, D, H, columns = case.N, case.T, case.D, case.H, case.columns
    states = 2 * len(case.states) * N * H
    return 4 * (N * T * (D + H) + states + (D + H + 1) * columns)


def training_record(case: Recurrent) -> Record:
    figures = {"stash": stash_bytes(case), "results": result_bytes(case)}
    figures |= _peaks("training", case)
    return Record("memory", str(case), 0, figures)


def attention_record(case: Attention) -> Record:
    return Record("memory", f"attention: {case}", 0, _peaks("attention", case))


def growth_record() -> Record:
    """Resident memory before and after many calls of all methods of a layer."""
    return Record("growth", f"{GROWTH_CALLS:,} calls", 0, {PLAIN: _in_process(["--growth"])})


def available() -> bool:
    return CLEAR.exists()


def _peaks(question: str, case: Any) -> dict[str, float]:
    """Bytes of fastrnn and of PyTorch, if it is installed and has the operation."""
    fields = [str(value) for value in vars(case).values()]
    return {
        kind.name: _in_process([question, *fields, kind.name])
        for kind in installed()
        if kind.name in (PLAIN, PYTORCH) and kind.answers(question, case)
    }


def _in_process(arguments: list[str]) -> float:
    command = [sys.executable, __file__, *arguments]
    environment = os.environ | ENVIRONMENT
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def _peak(question: str, fields: list[str], name: str) -> int:
    kind = next(kind for kind in installed() if kind.name == name)
    make = Recurrent if question == "training" else Attention
    small = SMALL_LAYER if question == "training" else SMALL_ATTENTION
    label, *sizes = fields
    task = getattr(kind(1), question)
    task(small).run()
    run = task(make(label, *map(int, sizes))).run
    gc.collect()
    CLEAR.write_text("5")  # reset the peak to the current memory
    before = _resident("VmRSS")
    results = run()
    peak = _resident("VmHWM") - before
    del results
    return peak


def _growth() -> int:
    """Bytes that became resident between the first tenth of the calls and the last."""
    ours, frozen = Fastrnn(1), Frozen(1)
    tasks = [ours.training(SMALL_LAYER), ours.attention(SMALL_ATTENTION)]
    tasks += [task(SMALL_LAYER) for task in (ours.inference, ours.step)]
    tasks += [task(SMALL_LAYER) for task in (frozen.inference, frozen.step)]
    _repeat([task.run for task in tasks], GROWTH_CALLS // 10)
    before = _resident("VmRSS")
    _repeat([task.run for task in tasks], GROWTH_CALLS)
    return _resident("VmRSS") - before


def _repeat(runs: list[Callable[[], Any]], calls: int) -> None:
    for run in runs:
        for _ in range(calls):
            run()


def _resident(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].removesuffix("kB")) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    if options.growth:
        print(_growth())
    else:
        question, *fields, name = options.case
        print(_peak(question, fields, name))
