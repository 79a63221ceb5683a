"""docs/performance.md: the records as tables, losing cells as plainly as winning ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bars import verdicts
from records import FROZEN, PEERS, PLAIN, PYTORCH, Record, Results, geometric_mean

TITLE = """\
# Performance

Written by `python benchmarks/report.py`; do not edit. All contenders run in one process on the \
same inputs and weights in float32, round by round; the figures are medians of the rounds. Results \
were equal to 1e-4 of the largest magnitude before the clock ran. A ratio is the time of fastrnn \
in that of the best peer, PyTorch or ONNX Runtime: below 1 fastrnn is ahead. It is that of frozen \
weights (`layer.freeze()`) where there are some, in inference and steps; the ratio not frozen \
stands beside it. `gru` resets after the product, `gru_before` before it, which PyTorch has not; \
ONNX Runtime has neither gradients nor attention. What led to the design is in \
[decisions.md](decisions.md)."""

LIMITS = """\
The share of the FMA peak is the FLOPs a second of the products, 2 N T (D + H) G H with G gates \
and in training three times as many, in those of bare multiply-adds on as many threads in the same \
rounds. Of a cell with N=1 the share of the bandwidth is the rate at which all T steps read their \
weights, Wh (in a single step Wx too), in that of a bare loop that reads a block of as many bytes \
over and over; the inputs' product comes on top, and *with inputs* counts it at the FMA peak. In \
training that counts all other products, and the weights twice, as the backward reads them too."""

# A fact of results that have too few cases to hold what was promised against them.
FEW = {"cases": "of each grid only those that CI checks"}

QUESTIONS = {
    "inference": "How long does a whole sequence take, without gradients?",
    "training": "How long does a forward and a backward take?",
    "step": "How long does one time step take from Python?",
    "attention": "How long does attention take, forward and backward?",
    "seq2seq": "How long does a whole training step take: loss, gradients, clipping and Adam?",
    "beam_search": "How long does it take to find the best targets of many words?",
}
CELL_NAMES = {"lstm": "LSTM", "gru": "GRU", "gru_before": "GRU, reset before", "rnn": "RNN"}


def document(results: Results, plots: Iterable[tuple[str, Path]]) -> str:
    """The whole file; each plot is what it shows and its path from there."""
    sections = [
        TITLE,
        "## Machine and versions",
        _table(["", ""], [[name, str(fact)] for name, fact in results.machine.items()]),
        LIMITS,
        *_promises(results),
        *(f"![{shown}]({path.as_posix()})" for shown, path in plots),
    ]
    for threads in results.threads:
        sections += _on_threads(results, threads)
    sections += [*_scaling(results), *_simd(results), *_variants(results), *_numpy(results)]
    sections += [*_memory(results), *_imports(results)]
    return "\n\n".join(sections) + "\n"


def _promises(results: Results) -> Iterator[str]:
    if FEW.items() <= results.machine.items():
        return
    found = list(verdicts(results))
    yield "## What was promised"
    yield f"{sum(verdict.met for verdict in found)} of {len(found)} met."
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
        "*At the limit* is what a ratio would be if the time of each cell were what its products "
        "need at the FMA peak, those of a single row at the bandwidth of a bare read: everything "
        "else in a cell, above all its sigmoids and tanhs, for nothing."
    )
    yield _table(["", "threads", "wanted", "measured", "at the limit", "met"], rows)


def _on_threads(results: Results, threads: int) -> Iterator[str]:
    asked = {name: found for name in QUESTIONS if (found := results.of(name, threads))}
    if not asked:
        return
    yield f"## {threads} thread{'s' * (threads > 1)}"
    yield _means(asked)
    for question, records in asked.items():
        yield f"### {question.capitalize()}"
        yield QUESTIONS[question]
        yield _summary(records)
        yield _cells(records)


def _means(asked: dict[str, list[Record]]) -> str:
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
                mean, worst = f"{geometric_mean(ratios):.2f}", _verdict(max(ratios))
                rows.append([f"{question}, {name}", mean, worst, f"{ahead} of {len(ratios)}"])
    return _table(["fastrnn / best peer", "geometric mean", "worst", "ahead"], rows)


def _summary(records: list[Record]) -> str:
    ratios = {record.case: record.ratio for record in records if record.ratio is not None}
    if not ratios:
        return "No other contender has these operations."
    behind = [f"`{case}` ({ratio:.2f})" for case, ratio in ratios.items() if ratio > 1]
    text = f"Ahead of the best peer in {len(ratios) - len(behind)} of {len(ratios)} cases"
    text += f", geometric mean of the ratios {geometric_mean(ratios.values()):.2f}."
    return text + (f" Behind in {', '.join(behind)}." if behind else "")


def _contender(name: str, record: Record) -> str:
    return _time(record.figures.get(name))


def _with_inputs(record: Record) -> str:
    return "" if record.question == "step" else _share(record.bound_share)


# The columns of a table of cells: what each says of a record, "" where it has nothing.
_COLUMNS: dict[str, Callable[[Record], str]] = {
    **{name: partial(_contender, name) for name in (FROZEN, PLAIN, *PEERS)},
    "ratio": lambda record: _verdict(record.ratio),
    "not frozen": lambda record: _verdict(record.ratio_not_frozen),
    "at the limit": lambda record: _ratio(record.best_ratio),
    "of the FMA peak": lambda record: _share(record.peak_share),
    "of the bandwidth": lambda record: _share(record.read_share),
    "with inputs": _with_inputs,
}


def _cells(records: list[Record]) -> str:
    """All records and, of the columns, those in which one of them has something."""
    columns = {head: tell for head, tell in _COLUMNS.items() if any(map(tell, records))}
    rows = [
        [f"`{record.case}`", *(tell(record) for tell in columns.values())] for record in records
    ]
    return _table(["", *columns], rows)


def _scaling(results: Results) -> Iterator[str]:
    rows = [
        [question, f"`{record.case}`", str(record.threads), f"{record.speedup:.2f}"]
        for question in ("inference", "training")
        for record in results.of(question)
        if record.speedup is not None
    ]
    if rows:
        yield "## Thread scaling"
        yield "How many times as fast as on one thread, round by round beside it, for N >= 32."
        yield _table(["", "", "threads", "times as fast"], rows)


def _simd(results: Results) -> Iterator[str]:
    """The narrower sets beside the widest, and AVX2 beside PyTorch on AVX2."""
    narrow = list(dict.fromkeys(record.simd for record in results.records if record.simd))
    if not narrow:
        return
    yield "## Instruction sets"
    yield (
        "Time in that of the widest set, one thread. As they ran at different times, each time is "
        "multiplied by the FMA peak measured beside it."
    )
    rows = []
    for question in ("inference", "training"):
        wide = {record.case: record.peak_share for record in results.of(question, 1)}
        found = {
            simd: {r.case: r.peak_share for r in results.of(question, 1, simd)} for simd in narrow
        }
        for case, share in wide.items():
            if share and all(shares.get(case) for shares in found.values()):
                ratios = [f"{share / shares[case]:.2f}" for shares in found.values()]
                rows.append([question, f"`{case}`", *ratios])
    yield _table(
        ["", "", *(f"{simd} / {results.machine['instruction set']}" for simd in narrow)], rows
    )
    for question in ("inference", "training"):
        if records := results.of(question, 1, "avx2", lambda record: PYTORCH in record.figures):
            yield f"### {question.capitalize()} on AVX2, PyTorch restricted to AVX2"
            yield _summary(records)
            yield _cells(records)


def _variants(results: Results) -> Iterator[str]:
    """The first figure in the second, and in PyTorch's where there is one."""
    rows = []
    for record in results.of("variants"):
        (first, ours), (second, other), *rest = record.figures.items()
        peer = f"{ours / rest[0][1]:.2f}" if rest else ""
        times = [f"{first} {_time(ours)}", f"{second} {_time(other)}"]
        rows.append([record.case, str(record.threads), *times, f"{ours / other:.2f}", peer])
    if rows:
        yield "## Variants"
        yield (
            "Of an LSTM, or of a GRU where it resets, with N32 T50 D256 H256; N64 with lengths, of "
            "which half of all steps are valid (PyTorch packs), N1 T100 and N8 T100 H128 for the "
            "last two."
        )
        yield _table(["", "threads", "", "beside", "ratio", "of PyTorch's time"], rows)


def _numpy(results: Results) -> Iterator[str]:
    rows = [
        [f"`{record.case}`", _time(ours), _time(numpy), f"{numpy / ours:.1f}"]
        for record in results.of("numpy")
        for ours, numpy in [(record.figures[PLAIN], record.figures["reference"])]
    ]
    if rows:
        yield "## Beside the NumPy reference"
        yield "One thread, weights not frozen."
        yield _table(["", "fastrnn", "reference", "times as fast"], rows)


def _memory(results: Results) -> Iterator[str]:
    records = results.of("memory")
    if not records:
        return
    yield "## Memory"
    yield (
        "What one forward and backward on one thread allocates at its peak, by the rise of the "
        "resident memory in a new process. *Kept* is what a backward cannot do without, in "
        "float32: of each step N H values for every activated gate (4 for an LSTM; 3 for a GRU, "
        "and `h Un + bh` if it resets after the product; none for an RNN, whose gate is its h), "
        "and T + 1 times N H for h, and for an LSTM's c. *Returned* are y, dx, the states, their "
        "gradients and those of the weights. x and dy are the caller's. Ratio: the peak in the sum."
    )
    rows = []
    for record in records:
        needed = [record.figures.get(name, 0.0) for name in ("stash", "results")]
        ratio = f"{record.figures[PLAIN] / sum(needed):.2f}" if sum(needed) else ""
        figures = [*needed, record.figures[PLAIN], record.figures.get(PYTORCH, 0.0)]
        rows.append([f"`{record.case}`", *map(_megabytes, figures), ratio])
    yield _table(["", "kept", "returned", "fastrnn", "PyTorch", "ratio"], rows)
    for record in results.of("growth"):
        grown = record.figures[PLAIN] / 1000
        yield f"Resident memory after {record.case} of each kind has grown by {grown:.0f} kB."


def _imports(results: Results) -> Iterator[str]:
    rows = [
        [f"`{record.case}`", _megabytes(record.figures["bytes"]), _time(record.figures["import"])]
        for record in results.of("imports")
    ]
    if rows:
        yield "## Installing and importing"
        yield _table(["", "installed, with what it requires", "start and import"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    align = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, align, *rows])


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _verdict(ratio: float | None) -> str:
    return _ratio(ratio) if ratio is None or ratio <= 1 else f"**{ratio:.2f}, behind**"


def _share(share: float | None) -> str:
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
