"""The targets: for each the figure that is measured and its bound.

A ratio is time of fastrnn / time of the best peer unless a target says otherwise. Each ratio also
has its value at the machine's limit. The bounds are goals of the project, set before the
measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from records import ONNX, PLAIN, PYTORCH, Record, Results, geometric_mean

Where = Callable[[Record], bool]
Value = Callable[[Record], "float | None"]


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


def _ratio_to(peer: str, record: Record) -> float | None:
    return record.ours / record.figures[peer] if peer in record.figures else None


def _ratio_not_frozen_to(peer: str, record: Record) -> float | None:
    return record.figures[PLAIN] / record.figures[peer] if peer in record.figures else None


def _first_by_second(record: Record) -> float:
    """The first figure of a record / its second."""
    first, second, *_ = record.figures.values()
    return first / second


def _second_by_first(record: Record) -> float:
    return 1 / _first_by_second(record)


def _memory_ratio(record: Record) -> float | None:
    return record.figures[PLAIN] / (record.figures["stash"] + record.figures["results"])


def _cell(*cells: str) -> Where:
    return lambda record: record.layer.cell in cells


def _case(*cases: str) -> Where:
    return lambda record: record.case in cases


def _products(rows: range, sizes: range) -> Where:
    """Whether an LSTM or GRU has so many rows and units."""
    return lambda record: (
        record.layer.cell != "rnn" and record.layer.N in rows and record.layer.H in sizes
    )


MANY = range(16, 2**31)
MEDIUM = range(100, 1025)

# Shares of the processor's own limits, in the order of the issue that set them.
SHARES = [
    *(
        Target(
            f"LSTM and GRU {question}, share of the FMA peak, every cell of {sizes}",
            wanted,
            Figure(min, question, where, lambda record: record.peak_share),
            at_least=True,
        )
        for question, sizes, where, wanted in (
            (
                "inference",
                "N >= 16, 100 <= H <= 1024",
                _products(MANY, MEDIUM),
                {1: 0.80, 2: 0.75},
            ),
            (
                "inference",
                "N = 4 to 10, H >= 100",
                _products(range(4, 11), MEDIUM),
                {1: 0.70, 2: 0.62},
            ),
            (
                "training",
                "N >= 16, 100 <= H <= 1024",
                _products(MANY, MEDIUM),
                {1: 0.74, 2: 0.70},
            ),
        )
    ),
    *(
        Target(
            f"{question} N = 1, share of the read bandwidth with inputs, every cell of H >= 256",
            {1: 0.85},
            Figure(
                min,
                question,
                lambda record: record.layer.N == 1 and record.layer.H >= 256,
                lambda record: record.bound_share,
            ),
            at_least=True,
        )
        for question in ("inference", "step")
    ),
    Target(
        "time on 1 thread / on 2, every cell of N >= 16, median of five processes",
        {2: 1.75},
        Figure(min, "scaling", value=lambda record: record.speedup),
        at_least=True,
    ),
]

# Ratios to the best peer, or to one.
RATIOS = [
    Target("inference, every cell", {1: 1.0, 2: 1.0}, Figure(max, "inference")),
    Target("steps, every cell", {1: 1.0}, Figure(max, "step")),
    Target("training, every cell", {1: 0.95, 2: 0.95}, Figure(max, "training")),
    *(
        Target(
            f"{name} {question}, geometric mean", wanted, Figure(geometric_mean, question, cells)
        )
        for question, name, cells, wanted in (
            ("inference", "LSTM", _cell("lstm"), {1: 0.85, 2: 0.85}),
            ("inference", "GRU (both)", _cell("gru", "gru_before"), {1: 0.75, 2: 0.65}),
            ("inference", "RNN", _cell("rnn"), {1: 0.5, 2: 0.5}),
            ("training", "LSTM", _cell("lstm"), {1: 0.75, 2: 0.75}),
            ("training", "GRU and RNN", _cell("gru", "rnn"), {1: 0.45, 2: 0.50}),
        )
    ),
    Target(
        f"inference not frozen, every cell of N*T >= 32, fastrnn / {ONNX}",
        {1: 1.05, 2: 1.05},
        Figure(
            max,
            "inference",
            lambda record: record.layer.N * record.layer.T >= 32,
            partial(_ratio_not_frozen_to, ONNX),
        ),
    ),
    *(
        Target(
            f"LSTM step D=H=128, fastrnn / {peer}",
            {1: wanted},
            Figure(max, "step", _case("lstm N1 T1 D128 H128"), partial(_ratio_to, peer)),
        )
        for peer, wanted in ((ONNX, 0.4), (PYTORCH, 0.05))
    ),
    Target(
        "additive attention, forward and backward",
        {1: 0.2, 2: 0.2},
        Figure(max, "attention", lambda record: record.case.startswith("additive")),
    ),
]

MEMORY = [
    Target(
        "additive attention, peak memory, fastrnn / PyTorch",
        {0: 0.2},
        Figure(max, "memory", lambda record: record.case.startswith("attention")),
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
]

RESET_BEFORE = ("reset before, inference", "reset before, training")

# Variants; those of `benchmarks/variants.py` have two figures.
WITHIN = [
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
    Target(
        "textbook language model, two layers, N128 H256, NumPy layers / fastrnn",
        {1: 1.9},
        Figure(min, "variants", _case("textbook language model"), _second_by_first),
        at_least=True,
    ),
]

TARGETS = [*SHARES, *RATIOS, *MEMORY, *WITHIN]
