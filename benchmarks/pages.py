"""The page of each processor in docs/performance/, and docs/performance.md, which compares them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import plots
from records import Record, Results, geometric_mean
from tables import CELL_NAMES, QUESTIONS, document, share, shown_ratio, table

TITLE = """\
# Performance

Written by `python benchmarks/report.py`; do not edit. Each row is a page: a processor, its number \
of cores and the instruction set that all contenders ran on. The page says how everything was \
measured.

- under a cell: geometric mean of the ratios time of fastrnn / time of the best peer; below 1 \
fastrnn is faster
- *of the FMA peak* (N >= 2) and *of the bandwidth* (N = 1): the share of what this processor \
itself can do, least and median of the cells; the bandwidth's share counts the inputs' products too
- *behind*: the number of cells in which fastrnn is slower than the best peer"""

ASKED = ("inference", "training", "step")


def folder(docs: Path) -> Path:
    return docs / "performance"


def publish(results: Results, docs: Path) -> Path:
    """Write a page, its plots and its data; then compare all pages. Return the page's path."""
    path = folder(docs) / f"{results.page}.md"
    data = path.with_suffix(".json")
    results.save(data)
    kept = Results.load(data)  # the figures as they are in the file
    plots.draw(kept, path.with_suffix(""))
    path.write_text(document(kept), "utf-8")
    (docs / "performance.md").write_text(comparison(docs), "utf-8")
    return path


def published(docs: Path) -> Iterator[Results]:
    """The data of all pages."""
    for path in sorted(folder(docs).glob("*.json")):
        yield Results.load(path)


def comparison(docs: Path) -> str:
    """The text of docs/performance.md."""
    found = list(published(docs))
    sections = [TITLE]
    for question in ASKED:
        rows = [row for results in found for row in _rows(results, question)]
        if rows:
            sections += [f"## {question.capitalize()}", QUESTIONS[question], _filled(rows)]
    without = sorted({path.stem for path in folder(docs).glob("*.md")} - {r.page for r in found})
    if without:
        links = "\n".join(f"- {_link(page)}" for page in without)
        sections += ["## Pages without data", f"Measured before the data were kept:\n\n{links}"]
    return "\n\n".join(sections) + "\n"


def _rows(results: Results, question: str) -> Iterator[dict[str, str]]:
    """A row of texts by column for each number of threads."""
    for threads in results.threads:
        if records := results.of(question, threads):
            ratios = {record.case: record.ratio for record in records if record.ratio}
            worst = max(ratios, key=ratios.get, default="")
            yield {
                "": _link(results.page),
                "threads": str(threads),
                **{name: _mean(records, cell) for cell, name in CELL_NAMES.items()},
                "of the FMA peak": _shares(records, lambda record: record.peak_share, one=False),
                "of the bandwidth": _shares(records, lambda record: record.bound_share, one=True),
                "behind": f"{sum(r > 1 for r in ratios.values())} of {len(ratios)}",
                "worst": f"{shown_ratio(ratios[worst])} `{worst}`" if worst else "",
            }


def _mean(records: list[Record], cell: str) -> str:
    ratios = [r.ratio for r in records if r.layer.cell == cell and r.ratio is not None]
    return f"{geometric_mean(ratios):.2f}" if ratios else ""


def _shares(records: list[Record], value: Callable[[Record], float | None], *, one: bool) -> str:
    """The least value and the median of the records with one row, or with more."""
    chosen = [value(record) for record in records if (record.layer.N == 1) == one]
    values = [found for found in chosen if found is not None]
    return f"{share(min(values))}, {share(statistics.median(values))}" if values else ""


def _filled(rows: list[dict[str, str]]) -> str:
    """The table of the columns that are not empty."""
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    return table(heads, [[row[head] for head in heads] for row in rows])


def _link(page: str) -> str:
    return f"[{page}](performance/{page}.md)"
