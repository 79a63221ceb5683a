"""The targets: for each the figure that is measured and its bound.

A ratio is time of fastrnn / time of the best peer unless a target says otherwise. Each ratio also
has its value at the machine's limit. The bounds are goals of the project, set before the
measurements.
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
    """A statistic of the values of a question's records, for example the largest.

    With threads 0 it uses the records of one thread or without a number of threads.
    """

    fold: Callable[[list[float]], float]
    question: str
    where: Where = lambda record: True
    value: Value = lambda record: record.ratio

    def __call__(self, results: Results, threads: int) -> float | None:
        return self._folded(results, threads, self.value)

    def at_the_limit(self, results: Results, threads: int) -> float | None:
        """The statistic of ratios if cells took only their products' time at the limit."""

        def best(record: Record) -> float | None:
            value, share = self.value(record), record.limit_share
            return None if value is None or share is None else value * share

        return self._folded(results, threads, best)

    def _folded(self, results: Results, threads: int, value: Value) -> float | None:
        records = [
            record
            for record in results.of(self.question, where=self.where)
            if record.threads == threads or (threads == 0 and record.threads in (0, 1))
        ]
        values = [found for found in map(value, records) if found is not None]
        return self.fold(values) if values else None


@dataclass(frozen=True)
class Target:
    """A bound for each number of threads; 0 if it does not depend on threads."""

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
    """Compare all targets that were measured with the results."""
    for target in TARGETS:
        for threads, bound in target.wanted.items():
            if (found := target.measured(results, threads)) is None:
                continue
            met = found >= bound if target.at_least else found <= bound
            wanted = f"at {'least' if target.at_least else 'most'} {bound:g}"
            best = None if target.at_least else target.measured.at_the_limit(results, threads)
            yield Verdict(target.what, threads, wanted, found, best, met)


def ratio_to(peer: str, record: Record) -> float | None:
    return record.ours / record.figures[peer] if peer in record.figures else None


def reads_memory(record: Record) -> bool:
    """Whether the weights exceed the L2 and reading them takes longer than the products."""
    if record.read_share is None or record.peak_share is None:
        return False
    return record.streamed_bytes > L2_BYTES and record.read_share > record.peak_share


def _cell(*cells: str) -> Where:
    return lambda record: record.layer is not None and record.layer.cell in cells


def _case(*cases: str) -> Where:
    return lambda record: record.case in cases


def _first_by_second(record: Record) -> float:
    """The first figure of a record / its second."""
    first, second, *_ = record.figures.values()
    return first / second


def _peak_share(record: Record) -> float | None:
    return record.peak_share


def _streams(record: Record) -> bool:
    """Whether an LSTM's step has one row and reads more weights than the L1 holds."""
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

TARGETS = [
    Target(
        "inference, every cell",
        {1: 1.0, 2: 1.0},
        Figure(max, "inference", lambda record: not reads_memory(record)),
    ),
    Target(
        "inference, every cell bound by reading memory",
        {1: 1.05, 2: 1.05},
        Figure(max, "inference", reads_memory),
    ),
    Target("steps, every cell", {1: 1.0}, Figure(max, "step")),
    Target(
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
        Target(
            f"{name} inference, geometric mean", wanted, Figure(geometric_mean, "inference", cells)
        )
        for name, wanted, cells in (
            ("LSTM", {1: 0.75, 2: 0.75}, _cell("lstm")),
            ("GRU (both)", {1: 0.62, 2: 0.65}, _cell("gru", "gru_before")),
            ("RNN", {1: 0.50, 2: 0.55}, _cell("rnn")),
        )
    ),
    *(
        Target(f"LSTM inference {name}", wanted, Figure(max, "inference", _lstm(*sizes)))
        for name, sizes, wanted in (
            ("N32 T50 D=H=256", (32, 50, 256, 256), {1: 0.85, 2: 0.85}),
            ("N64 T50 D=H=512", (64, 50, 512, 512), {1: 0.82, 2: 0.85}),
            ("N16 T50 D=H=1024", (16, 50, 1024, 1024), {1: 0.85, 2: 0.85}),
            ("N8 T50 D=H=128", (8, 50, 128, 128), {1: 0.70, 2: 0.75}),
            ("N20 T35 D=H=100", (20, 35, 100, 100), {1: 0.70, 2: 0.75}),
            ("N1 T100 D=H=128", (1, 100, 128, 128), {1: 0.65, 2: 0.65}),
        )
    ),
    Target("training, every cell", {1: 0.90, 2: 0.95}, Figure(max, "training")),
    *(
        Target(f"LSTM training {name}", wanted, Figure(max, "training", _lstm(*sizes)))
        for name, sizes, wanted in (
            ("N32 T50 D=H=256", (32, 50, 256, 256), {1: 0.75, 2: 0.85}),
            ("N20 T35 D=H=100", (20, 35, 100, 100), {1: 0.60, 2: 0.85}),
            ("N128 T50 D128 H256", (128, 50, 128, 256), {1: 0.65, 2: 0.85}),
            ("N1 T100 D=H=128", (1, 100, 128, 128), {1: 0.35, 2: 0.85}),
        )
    ),
    Target(
        "GRU and RNN training, geometric mean",
        {1: 0.45, 2: 0.50},
        Figure(geometric_mean, "training", _cell("gru", "rnn")),
    ),
    *(
        Target(
            f"LSTM step D=H=128, fastrnn / {peer}",
            {1: wanted},
            Figure(max, "step", _lstm(1, 1, 128, 128), partial(ratio_to, peer)),
        )
        for peer, wanted in ((ONNX, 0.4), (PYTORCH, 0.05))
    ),
    Target(
        "additive attention, forward and backward",
        {1: 0.2, 2: 0.2},
        Figure(max, "attention", lambda record: record.case.startswith("additive")),
    ),
    Target(
        "additive attention, peak memory, fastrnn / PyTorch",
        {0: 0.2},
        Figure(max, "memory", lambda record: record.case.startswith("attention")),
    ),
    Target(
        "LSTM inference, share of the FMA peak, best cell",
        {1: 0.80, 2: 0.80},
        Figure(max, "inference", _cell("lstm"), _peak_share),
        at_least=True,
    ),
    Target(
        "LSTM inference, share of the FMA peak, every cell of N >= 32, 256 <= H <= 512",
        {1: 0.75, 2: 0.75},
        Figure(min, "inference", _wide, _peak_share),
        at_least=True,
    ),
    Target(
        "LSTM step, share of the read bandwidth, best cell",
        {1: 0.85},
        Figure(max, "step", _streams, lambda record: record.read_share),
        at_least=True,
    ),
    Target(
        "LSTM inference N=1, share of the read bandwidth, best cell",
        {1: 0.85},
        Figure(max, "inference", _streams, lambda record: record.read_share),
        at_least=True,
    ),
    Target(
        "LSTM inference N=1, share of the read bandwidth with inputs, every cell",
        {1: 0.85},
        Figure(min, "inference", _streams, lambda record: record.bound_share),
        at_least=True,
    ),
    Target(
        "time on 1 thread / on 2, every cell of N >= 16, median of five processes",
        {2: 1.75},
        Figure(min, "scaling", value=lambda record: record.speedup),
        at_least=True,
    ),
    Target(
        "training, peak memory / (kept + returned)",
        {0: 1.2},
        Figure(max, "memory", lambda record: "stash" in record.figures, _memory_ratio),
    ),
    Target(
        "memory growth over 10,000 calls, MB",
        {0: 0.5},
        Figure(max, "growth", value=lambda record: record.figures[PLAIN] / 1e6),
    ),
    *(
        Target(
            what, {1: wanted, 2: wanted}, Figure(max, "variants", _case(*cases), _first_by_second)
        )
        for what, wanted, cases in (
            ("half of the steps / all steps", 0.65, ("lengths, inference", "lengths, training")),
            ("GRU, reset before / reset after", 1.10, RESET_BEFORE),
            ("denormals / ordinary numbers", 1.05, ("denormals",)),
        )
    ),
]
