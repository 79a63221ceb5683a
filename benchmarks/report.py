"""Times all contenders in one process, round by round, and writes docs/performance.md.

In each round every contender gets one sample of at least --sample milliseconds, so that whatever
else the machine does falls on all of them; what is told is the median over the rounds. Results are
compared with the reference's before the clock runs.

    python benchmarks/report.py --threads 1 2
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
import test_attention
import test_inference
import test_seq2seq
import test_step
import test_training
from contenders import installed, missing
from harness import blas_threads, checked_task, entrants
from install import PACKAGES, install_size, run_import
from rounds import interleaved

QUESTIONS = {
    "inference": test_inference,
    "training": test_training,
    "step": test_step,
    "attention": test_attention,
    "seq2seq": test_seq2seq,
}
OURS = "fastrnn"


@dataclass(frozen=True)
class Cell:
    """One case: the median seconds of a call of each contender."""

    case: str
    seconds: dict[str, float]

    @property
    def ratio(self) -> float | None:
        """Our time in that of the best peer; None where no peer has the operation."""
        peers = [self.seconds[kind.name] for kind in installed() if self._is_peer(kind)]
        return self.seconds[OURS] / min(peers) if peers else None

    def _is_peer(self, kind: Any) -> bool:
        return kind.is_peer and kind.name in self.seconds


def main() -> None:
    options = _options()
    for line in missing():
        print(line)
    sections = [_title(), *_machine()]
    for threads in options.threads:
        sections.append(f"## {threads} thread{'s' * (threads > 1)}")
        with blas_threads(threads):
            for question in options.questions:
                cells = list(measured(question, threads, options.rounds, options.sample / 1000))
                sections += [*section(question, cells)]
    sections += ["## Installing and importing", imports_table(options.rounds)]
    options.out.write_text("\n\n".join(sections) + "\n")
    print(f"written: {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="thread counts")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each contender")
    parser.add_argument("--sample", type=float, default=50, help="milliseconds of a sample")
    parser.add_argument(
        "--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), help="what to time"
    )
    out = Path(__file__).parent.parent / "docs" / "performance.md"
    parser.add_argument("--out", type=Path, default=out, help="file to write")
    return parser.parse_args()


def measured(question: str, threads: int, rounds: int, sample: float) -> Iterator[Cell]:
    """Time the cases of a question."""
    for case in QUESTIONS[question].CASES:
        runs = {
            kind.name: checked_task(kind, question, case, threads).run
            for kind in entrants(question, case)
        }
        cell = Cell(str(case), interleaved(runs, rounds, sample))
        ratio = "" if cell.ratio is None else f", {cell.ratio:.2f} of the best peer"
        print(f"{question}, {threads} thread(s), {case}: {_time(cell.seconds[OURS])}{ratio}")
        yield cell


def _title() -> str:
    return (
        "# Performance\n\n"
        "Written by `python benchmarks/report.py`; do not edit. All contenders run in one process "
        "on the same inputs and weights in float32, round by round; the figures are medians of "
        "the rounds. Results were equal to 1e-4 of the largest magnitude before the clock ran. A "
        "ratio is the time of fastrnn in that of the best peer, PyTorch or ONNX Runtime: below 1 "
        "fastrnn is ahead. `gru` resets after the product, `gru_before` before it, which PyTorch "
        "has not; ONNX Runtime has neither gradients nor attention. What led to the design is in "
        "[decisions.md](decisions.md)."
    )


def _machine() -> Iterator[str]:
    yield "## Machine and versions"
    facts = {
        "processor": _processor(),
        "instruction set of fastrnn": fastrnn.cpu_info()["simd"],
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        **{kind.name: kind.version() for kind in installed() if kind.is_peer or kind.name == OURS},
        "measured": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }
    yield _table(["", ""], [[name, str(value)] for name, value in facts.items()])


def _processor() -> str:
    try:
        found = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
        facts = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
        return f"{facts['Model name'].strip()}, {facts['CPU(s)'].strip()} CPUs"
    except (OSError, KeyError, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()


def section(question: str, cells: list[Cell]) -> Iterator[str]:
    """Heading, summary and table of a question."""
    names = [kind.name for kind in installed() if kind.name in cells[0].seconds]
    yield f"### {question.capitalize()}"
    yield QUESTIONS[question].__doc__ or ""
    yield _summary(cells)
    rows = [
        [
            f"`{cell.case}`",
            *(_time(cell.seconds[name]) if name in cell.seconds else "" for name in names),
            f"{cell.seconds['reference'] / cell.seconds[OURS]:.1f}",
            "" if cell.ratio is None else _verdict(cell.ratio),
        ]
        for cell in cells
    ]
    yield _table(["", *names, "reference / fastrnn", "fastrnn / best peer"], rows)


def _summary(cells: list[Cell]) -> str:
    ratios = {cell.case: cell.ratio for cell in cells if cell.ratio is not None}
    if not ratios:
        return "No peer to compare with."
    mean = math.exp(statistics.mean(math.log(ratio) for ratio in ratios.values()))
    behind = [f"`{case}` ({ratio:.2f})" for case, ratio in ratios.items() if ratio > 1]
    text = f"Ahead of the best peer in {len(ratios) - len(behind)} of {len(ratios)} cases"
    text += f", geometric mean of the ratios {mean:.2f}."
    return text + (f" Behind in {', '.join(behind)}." if behind else "")


def _verdict(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio <= 1 else f"**{ratio:.2f}, behind**"


def imports_table(rounds: int) -> str:
    """Size on disk, with requirements, and time from the start of Python to the end of import."""
    runs = {name: partial(run_import, name) for name in PACKAGES if install_size(name)}
    seconds = interleaved(runs, rounds, sample=0.0)
    rows = [
        [f"`{name}`", f"{install_size(name) / 1e6:.1f} MB", _time(seconds[name])] for name in runs
    ]
    return _table(["", "installed, with what it requires", "start and import"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    align = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, align, *rows])


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


if __name__ == "__main__":
    sys.exit(main())
