"""What was promised: each bar with how it is measured and what was wanted of it.

A ratio is our time in that of the best peer unless a bar says otherwise. Beside a bar on ratios
stands what it would be if all its cells ran at the machine's limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import limits
from records import ONNX, PLAIN, PYTORCH, Record, Results, geometric_mean

Where = Callable[[Record], bool]
Value = Callable[[Record], "float | None"]
L2_BYTES = limits.cache_bytes(2, default=2**20)


@dataclass(frozen=True)
class Figure:
    """What is made of the values of a question's records, where there are any: say the largest.

    With threads 0 the records of one thread, or of no number of threads, count.
    """

    fold: Callable[[list[float]], float]
    question: str
    where: Where = lambda record: True
    value: Value = lambda record: record.ratio
    simd: str = ""

    def __call__(self, results: Results, threads: int) -> float | None:
        return self._folded(results, threads, self.value)

    def at_the_limit(self, results: Results, threads: int) -> float | None:
        """The same for ratios, if our times were what the products need at the machine's limit."""

        def best(record: Record) -> float | None:
            value, share = self.value(record), record.limit_share
            return None if value is None or share is None else value * share

        return self._folded(results, threads, best)

    def _folded(self, results: Results, threads: int, value: Value) -> float | None:
        records = [
            record
            for record in results.of(self.question, simd=self.simd, where=self.where)
            if record.threads == threads or (threads == 0 and record.threads in (0, 1))
        ]
        values = [found for found in map(value, records) if found is not None]
        return self.fold(values) if values else None


@dataclass(frozen=True)
class Bar:
    """A bound for each number of threads, 0 for what does not depend on it."""

    what: str
    wanted: dict[int, float]
    measured: Figure
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    what: str
    threads: int
    wanted: str
    measured: float
    best: float | None
    met: bool


def verdicts(results: Results) -> Iterator[Verdict]:
    """Hold all bars, of which something was measured, against the results."""
    for bar in BARS:
        for threads, bound in bar.wanted.items():
            if (found := bar.measured(results, threads)) is None:
                continue
            met = found >= bound if bar.at_least else found <= bound
            wanted = f"at {'least' if bar.at_least else 'most'} {bound:g}"
            best = None if bar.at_least else bar.measured.at_the_limit(results, threads)
            yield Verdict(bar.what, threads, wanted, found, best, met)


def ratio_to(peer: str, record: Record) -> float | None:
    return record.ours / record.figures[peer] if peer in record.figures else None


def reads_memory(record: Record) -> bool:
    """Whether reading the weights, more than a core's L2 holds, takes longer than the products."""
    if record.read_share is None or record.peak_share is None:
        return False
    return record.streamed_bytes > L2_BYTES and record.read_share > record.peak_share


def _cell(*cells: str) -> Where:
    return lambda record: record.layer is not None and record.layer.cell in cells


def _case(*cases: str) -> Where:
    return lambda record: record.case in cases


def _of_the_second(record: Record) -> float:
    """The first figure of a record in its second."""
    first, second, *_ = record.figures.values()
    return first / second


def _peak_share(record: Record) -> float | None:
    return record.peak_share


def _streams(record: Record) -> bool:
    """Whether an LSTM's step is one row and reads more weights than an L1 can hold."""
    layer = record.layer
    return layer.cell == "lstm" and layer.N == 1 and record.streamed_bytes >= L2_BYTES // 4


def _memory_ratio(record: Record) -> float | None:
    return record.figures[PLAIN] / (record.figures["stash"] + record.figures["results"])


def _lstm(N: int, T: int, D: int, H: int) -> Where:
    return lambda record: record.case == f"lstm N{N} T{T} D{D} H{H}"


def _wide(record: Record) -> bool:
    layer = record.layer
    return layer.cell == "lstm" and layer.N >= 32 and 256 <= layer.H <= 512


RESET_BEFORE = ("reset before, inference", "reset before, training")

BARS = [
    Bar(
        "inference, every cell",
        {1: 1.0, 2: 1.0},
        Figure(max, "inference", lambda record: not reads_memory(record)),
    ),
    Bar(
        "inference, every cell bound by reading memory",
        {1: 1.05, 2: 1.05},
        Figure(max, "inference", reads_memory),
    ),
    Bar("steps, every cell", {1: 1.0}, Figure(max, "step")),
    Bar(
        "inference not frozen, every cell of N*T >= 32",
        {1: 1.0, 2: 1.0},
        Figure(
            max,
            "inference",
            lambda record: record.layer.N * record.layer.T >= 32,
            lambda record: record.ratio_not_frozen,
        ),
    ),
    *(
        Bar(f"{name} inference, geometric mean", wanted, Figure(geometric_mean, "inference", cells))
        for name, wanted, cells in (
            ("LSTM", {1: 0.75, 2: 0.75}, _cell("lstm")),
            ("GRU (both)", {1: 0.62, 2: 0.65}, _cell("gru", "gru_before")),
            ("RNN", {1: 0.50, 2: 0.55}, _cell("rnn")),
        )
    ),
    *(
        Bar(f"LSTM inference {name}", wanted, Figure(max, "inference", _lstm(*sizes)))
        for name, sizes, wanted in (
            ("N32 T50 D=H=256", (32, 50, 256, 256), {1: 0.85, 2: 0.85}),
            ("N64 T50 D=H=512", (64, 50, 512, 512), {1: 0.82, 2: 0.85}),
            ("N16 T50 D=H=1024", (16, 50, 1024, 1024), {1: 0.85, 2: 0.85}),
            ("N8 T50 D=H=128", (8, 50, 128, 128), {1: 0.70, 2: 0.75}),
            ("N20 T35 D=H=100", (20, 35, 100, 100), {1: 0.70, 2: 0.75}),
            ("N1 T100 D=H=128", (1, 100, 128, 128), {1: 0.65, 2: 0.65}),
        )
    ),
    Bar("training, every cell", {1: 0.90, 2: 0.95}, Figure(max, "training")),
    *(
        Bar(f"LSTM training {name}", wanted, Figure(max, "training", _lstm(*sizes)))
        for name, sizes, wanted in (
            ("N32 T50 D=H=256", (32, 50, 256, 256), {1: 0.75, 2: 0.85}),
            ("N20 T35 D=H=100", (20, 35, 100, 100), {1: 0.60, 2: 0.85}),
            ("N128 T50 D128 H256", (128, 50, 128, 256), {1: 0.65, 2: 0.85}),
            ("N1 T100 D=H=128", (1, 100, 128, 128), {1: 0.35, 2: 0.85}),
        )
    ),
    Bar(
        "GRU and RNN training, geometric mean",
        {1: 0.45, 2: 0.50},
        Figure(geometric_mean, "training", _cell("gru", "rnn")),
    ),
    *(
        Bar(
            f"LSTM step D=H=128, of {peer}",
            {1: wanted},
            Figure(max, "step", _lstm(1, 1, 128, 128), partial(ratio_to, peer)),
        )
        for peer, wanted in ((ONNX, 0.4), (PYTORCH, 0.05))
    ),
    Bar(
        "additive attention, forward and backward",
        {1: 0.2, 2: 0.2},
        Figure(max, "attention", lambda record: record.case.startswith("additive")),
    ),
    Bar(
        "additive attention, peak memory",
        {0: 0.2},
        Figure(max, "memory", lambda record: record.case.startswith("attention")),
    ),
    Bar(
        "LSTM inference, share of the FMA peak, best cell",
        {1: 0.80, 2: 0.80},
        Figure(max, "inference", _cell("lstm"), _peak_share),
        at_least=True,
    ),
    Bar(
        "LSTM inference, share of the FMA peak, every cell of N >= 32, 256 <= H <= 512",
        {1: 0.75, 2: 0.75},
        Figure(min, "inference", _wide, _peak_share),
        at_least=True,
    ),
    Bar(
        "LSTM step, share of the read bandwidth, best cell",
        {1: 0.85},
        Figure(max, "step", _streams, lambda record: record.read_share),
        at_least=True,
    ),
    Bar(
        "LSTM inference N=1, share of the read bandwidth, best cell",
        {1: 0.85},
        Figure(max, "inference", _streams, lambda record: record.read_share),
        at_least=True,
    ),
    Bar(
        "LSTM inference N=1, the same with the inputs' product at the FMA peak, every cell",
        {1: 0.85},
        Figure(min, "inference", _streams, lambda record: record.bound_share),
        at_least=True,
    ),
    *(
        Bar(
            f"{question} on two threads in one, the slowest of N >= 32",
            {2: 1.7},
            Figure(min, question, value=lambda record: record.speedup),
            at_least=True,
        )
        for question in ("inference", "training")
    ),
    *(
        Bar(
            f"{question} on AVX2, of PyTorch on AVX2, geometric mean",
            {1: 1.0},
            Figure(geometric_mean, question, simd="avx2"),
        )
        for question in ("inference", "training")
    ),
    Bar(
        "training, peak memory in what must be kept and returned",
        {0: 1.2},
        Figure(max, "memory", lambda record: "stash" in record.figures, _memory_ratio),
    ),
    Bar(
        "growth over 10,000 calls, MB",
        {0: 0.5},
        Figure(max, "growth", value=lambda record: record.figures[PLAIN] / 1e6),
    ),
    *(
        Bar(what, {1: wanted, 2: wanted}, Figure(max, "variants", _case(*cases), _of_the_second))
        for what, wanted, cases in (
            ("half of the steps, of all", 0.65, ("lengths, inference", "lengths, training")),
            ("GRU, reset before, of reset after", 1.10, RESET_BEFORE),
            ("denormals, of ordinary numbers", 1.05, ("denormals",)),
        )
    ),
]
