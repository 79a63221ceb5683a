"""The page of a processor: its records as tables, slower cells as plainly as faster ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from plots import planned
from records import FROZEN, PEERS, PLAIN, PYTORCH, Record, Results, geometric_mean
from targets import verdicts

TITLE = """\
# Performance: {page}

Written by `python benchmarks/report.py`; do not edit. All contenders run in one process on the \
same inputs and weights in float32, in interleaved rounds; a time is the median over the rounds. \
Before the timing, the results are equal to 1e-4 of the largest magnitude.

- *ratio* = time of fastrnn / time of the best peer: below 1 fastrnn is faster. The peers are \
PyTorch, ONNX Runtime, OpenVINO and JAX, if they have a version below. In inference and steps \
fastrnn's weights are frozen (`layer.freeze()`); *not frozen* is the ratio without that.
- ONNX Runtime and OpenVINO have neither gradients nor attention. JAX, a `lax.scan` under `jit`, \
is compared in inference and training.
- `gru` resets after the product. `gru_before` resets before it; PyTorch has no such GRU.
- The instruction set is below the machine's best if all contenders were held to it. ONNX Runtime \
and JAX cannot be.

[performance.md](../performance.md) compares processors; the reasons for the design are in \
[decisions.md](../decisions.md)."""

LIMITS = """\
With G gates, the products of a cell have 2 N T (D + H) G H FLOPs, in training three times as \
many. P is the rate of bare multiply-adds on as many threads. B is the rate of a bare loop that \
reads a block of the size of Wh again and again (in a single step of Wx and Wh). Both are measured \
in the same rounds.

- *of the FMA peak* = FLOPs / time / P
- *of the bandwidth* (N=1) = T * size of Wh / B / time; in a single step size of Wx and Wh
- *with inputs* (N=1) = (T * size of Wh / B + FLOPs of the other products / P) / time; in \
training twice the size of Wh, because the backward reads it, too"""

# A fact of results that have too few cases to compare them with the targets.
FEW = {"cases": "only the cases of each grid that CI runs"}

QUESTIONS = {
    "inference": "How long does a whole sequence take, without gradients?",
    "training": "How long does a forward and a backward take?",
    "step": "How long does one time step take from Python?",
    "attention": "How long does attention take, forward and backward?",
    "seq2seq": "How long does a whole training step take: loss, gradients, clipping and Adam?",
    "beam_search": "How long does it take to find the best targets of many words?",
}
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "gru_before": "GRU, reset before", "rnn": "RNN"}


def document(results: Results) -> str:
    """The whole file; its plots lie in a folder of its name."""
    sections = [
        TITLE.format(page=results.page),
        "## Machine and versions",
        table(["", ""], [[name, str(fact)] for name, fact in results.machine.items()]),
        LIMITS,
        *_targets(results),
        *(f"![{plot.title}]({results.page}/{plot.file})" for plot in planned(results)),
    ]
    for threads in results.threads:
        sections += _on_threads(results, threads)
    sections += [*_scaling(results), *_variants(results), *_numpy(results)]
    sections += [*_memory(results), *_imports(results)]
    return "\n\n".join(sections) + "\n"


def _targets(results: Results) -> Iterator[str]:
    if FEW.items() <= results.machine.items():
        return
    found = list(verdicts(results))
    yield "## Targets"
    yield (
        f"{sum(verdict.met for verdict in found)} of {len(found)} met. The targets are goals of "
        "the project, set before the measurements; they are in `benchmarks/targets.py`."
    )
    rows = [
        [
            verdict.what,
            str(verdict.threads or ""),
            verdict.wanted,
            f"{verdict.measured:.3g}",
            _ratio(verdict.best),
            "yes" if verdict.met else "**no**",
        ]
        for verdict in found
    ]
    yield (
        "*At the limit* is the ratio if each cell took only the time of its products at the FMA "
        "peak or, for a single row, at the read bandwidth, and no time for its sigmoids, tanhs and "
        "all else."
    )
    yield table(["", "threads", "target", "measured", "at the limit", "met"], rows)


def _on_threads(results: Results, threads: int) -> Iterator[str]:
    asked = {name: found for name in QUESTIONS if (found := results.of(name, threads))}
    if not asked:
        return
    yield f"## {threads} thread{'s' * (threads > 1)}"
    yield from _means(asked)
    for question, records in asked.items():
        yield f"### {question.capitalize()}"
        yield QUESTIONS[question]
        yield _summary(records)
        yield _cells(records)


def _means(asked: dict[str, list[Record]]) -> Iterator[str]:
    """Geometric means of the ratios by question and cell."""
    rows = []
    for question, records in asked.items():
        for cell, name in CELL_NAMES.items():
            ratios = [
                record.ratio
                for record in records
                if record.layer and record.layer.cell == cell and record.ratio
            ]
            if ratios:
                ahead = sum(ratio <= 1 for ratio in ratios)
                mean, worst = f"{geometric_mean(ratios):.2f}", shown_ratio(max(ratios))
                rows.append([f"{question}, {name}", mean, worst, f"{ahead} of {len(ratios)}"])
    if rows:
        yield table(["fastrnn / best peer", "geometric mean", "worst", "ahead"], rows)


def _summary(records: list[Record]) -> str:
    ratios = {record.case: record.ratio for record in records if record.ratio is not None}
    if not ratios:
        return "No peer was compared."
    behind = [f"`{case}` ({ratio:.2f})" for case, ratio in ratios.items() if ratio > 1]
    text = f"Ahead of the best peer in {len(ratios) - len(behind)} of {len(ratios)} cases"
    text += f", geometric mean of the ratios {geometric_mean(ratios.values()):.2f}."
    return text + (f" Behind in {', '.join(behind)}." if behind else "")


def _contender(name: str, record: Record) -> str:
    return _time(record.figures.get(name))


def _with_inputs(record: Record) -> str:
    return "" if record.question == "step" else share(record.bound_share)


# The columns of a table of cells: the text of each for a record, or "".
_COLUMNS: dict[str, Callable[[Record], str]] = {
    **{name: partial(_contender, name) for name in (FROZEN, PLAIN, *PEERS)},
    "ratio": lambda record: shown_ratio(record.ratio),
    "not frozen": lambda record: shown_ratio(record.ratio_not_frozen),
    "at the limit": lambda record: _ratio(record.best_ratio),
    "of the FMA peak": lambda record: share(record.peak_share),
    "of the bandwidth": lambda record: share(record.read_share),
    "with inputs": _with_inputs,
}


def _cells(records: list[Record]) -> str:
    """The table of all records with the columns that are not empty."""
    columns = {head: tell for head, tell in _COLUMNS.items() if any(map(tell, records))}
    rows = [
        [f"`{record.case}`", *(tell(record) for tell in columns.values())] for record in records
    ]
    return table(["", *columns], rows)


def _scaling(results: Results) -> Iterator[str]:
    rows = [
        [f"`{record.case}`", str(record.threads), f"{record.speedup:.2f}", _range(record)]
        for record in results.of("scaling")
    ]
    if rows:
        yield "## Thread scaling"
        yield (
            "Speedup = time on 1 thread / time, measured in the same rounds, for N >= 16; the "
            "median of five processes."
        )
        yield table(["", "threads", "speedup", "least to most"], rows)


def _range(record: Record) -> str:
    return f"{min(record.figures.values()):.2f} to {max(record.figures.values()):.2f}"


def _variants(results: Results) -> Iterator[str]:
    """The first figure / the second and, if there is one, / PyTorch's."""
    rows = []
    for record in results.of("variants"):
        (first, ours), (second, other), *rest = record.figures.items()
        peer = f"{ours / rest[0][1]:.2f}" if rest else ""
        times = [f"{first} {_time(ours)}", f"{second} {_time(other)}"]
        rows.append([record.case, str(record.threads), *times, f"{ours / other:.2f}", peer])
    if rows:
        yield "## Variants"
        yield (
            "An LSTM, or a GRU for its reset, with N32 T50 D256 H256. Other sizes: N64 with "
            "lengths, half of all steps valid (PyTorch packs); N1 T100 for `bidirectional, N1`; N8 "
            "T100 D128 H128 for denormals. Input feeding is a training step of a `Seq2Seq` with "
            "128 words. The textbook's language model is a training step of "
            "`fastrnn.compat.time_layers`, N128 T25 D256, two LSTMs of H256, 100 kinds of tokens."
        )
        yield table(["", "threads", "a", "b", "a / b", "a / PyTorch"], rows)


def _numpy(results: Results) -> Iterator[str]:
    rows = [
        [f"`{record.case}`", _time(ours), _time(numpy), f"{numpy / ours:.1f}"]
        for record in results.of("numpy")
        for ours, numpy in [(record.figures[PLAIN], record.figures["reference"])]
    ]
    if rows:
        yield "## fastrnn and the NumPy reference"
        yield "One thread, weights not frozen."
        yield table(["", "fastrnn", "reference", "reference / fastrnn"], rows)


def _memory(results: Results) -> Iterator[str]:
    records = results.of("memory")
    if not records:
        return
    yield "## Memory"
    yield (
        "Peak memory that one forward and backward on one thread allocates: the rise of the "
        "resident memory in a new process, without x and dy.\n\n"
        "- *kept*: the float32 values that a backward needs, K N T H + S N (T + 1) H. K is the "
        "number of stored values of a step and unit: 4 for an LSTM (its gates), 4 for a GRU that "
        "resets after the product (its gates and `h Un + bh`), 3 for one that resets before it, 0 "
        "for an RNN, whose gate is its h. S is the number of states: 2 for an LSTM, else 1\n"
        "- *returned*: y, dx, the states, and the gradients of the states and the weights\n"
        "- *ratio* = peak of fastrnn / (kept + returned)"
    )
    rows = []
    for record in records:
        needed = [record.figures.get(name, 0.0) for name in ("stash", "results")]
        ratio = f"{record.figures[PLAIN] / sum(needed):.2f}" if sum(needed) else ""
        figures = [*needed, record.figures[PLAIN], record.figures.get(PYTORCH, 0.0)]
        rows.append([f"`{record.case}`", *map(_megabytes, figures), ratio])
    yield table(["", "kept", "returned", "fastrnn", "PyTorch", "ratio"], rows)
    for record in results.of("growth"):
        grown = record.figures[PLAIN] / 1000
        yield f"The resident memory grew by {grown:.0f} kB in {record.case} of each kind."


def _imports(results: Results) -> Iterator[str]:
    rows = [
        [f"`{record.case}`", _megabytes(record.figures["bytes"]), _time(record.figures["import"])]
        for record in results.of("imports")
    ]
    if rows:
        yield "## Installing and importing"
        yield table(["", "size with requirements", "start and import"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    align = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, align, *rows])


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def shown_ratio(ratio: float | None) -> str:
    return _ratio(ratio) if ratio is None or ratio <= 1 else f"**{ratio:.2f}, behind**"


def share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count else ""


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
