"""The speedup of several threads over one, each time in a new process.

Where its arrays lie differs from process to process, and with that its speed.

    python benchmarks/scaling.py 2 --rounds 3 --sample 0.02    # what the report runs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import fastrnn
from contenders.fastrnn_compiled import Fastrnn
from contenders.fastrnn_frozen import Frozen
from grid import GRID, SELECTION
from measure import Effort
from records import Record
from rounds import interleaved

PROCESSES, ROUNDS = 5, 3
SMALLEST_BATCH = 16


def scaling(threads: int, sample: float, *, few: bool) -> Iterator[Record]:
    """The speedups of all cells, again after each process."""
    found: dict[str, dict[str, float]] = {}
    for process in range(1, PROCESSES + 1):
        for case, speedup in _in_process(threads, Effort(ROUNDS, sample), few=few):
            found.setdefault(case, {})[f"process {process}"] = speedup
            yield Record("scaling", case, threads, dict(found[case]))


def _in_process(threads: int, effort: Effort, *, few: bool) -> Iterator[tuple[str, float]]:
    arguments = [str(threads), "--rounds", str(effort.rounds), "--sample", str(effort.sample)]
    command = [sys.executable, __file__, *arguments, *["--few"] * few]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")


def speedup(question: str, case: Any, threads: int, effort: Effort) -> float:
    """Time on one thread / time on several, in the same rounds; inference is frozen."""
    kind = Fastrnn if question == "training" else Frozen
    run = getattr(kind(threads), question)(case).run

    def on(count: int) -> None:
        fastrnn.set_num_threads(count)
        run()

    seconds = interleaved({"one": partial(on, 1), "all": partial(on, threads)}, *effort, threads)
    return seconds["one"] / seconds["all"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("threads", type=int)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--sample", type=float, required=True, help="seconds")
    parser.add_argument("--few", action="store_true")
    options = parser.parse_args()
    effort = Effort(options.rounds, options.sample)
    for question in ("inference", "training"):
        for case in (SELECTION if options.few else GRID)[question]:
            if case.N >= SMALLEST_BATCH:
                found = speedup(question, case, options.threads, effort)
                print(json.dumps([f"{question}: {case}", found]), flush=True)


if __name__ == "__main__":
    main()
