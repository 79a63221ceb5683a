"""The plots of a page, as small SVG files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from records import Results

AHEAD, BEHIND, GUIDE = "#2a6f97", "#c1440e", "#888888"
# Text as text, and equal files from equal results.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "fastrnn", "font.size": 8}


class Plot(NamedTuple):
    """A plot of the results: its file, its title and the values of each question's cases."""

    file: str
    title: str
    panels: dict[str, dict[str, float]]
    ratios: bool


def planned(results: Results) -> Iterator[Plot]:
    """The plots that the results have data for."""
    for threads, (name, shown, questions, values) in product(results.threads, _PLOTS):
        panels = {question: values(results, question, threads) for question in questions}
        if found := {question: cases for question, cases in panels.items() if cases}:
            title = f"{shown}, {threads} thread{'s' * (threads > 1)}"
            yield Plot(f"{name}-{threads}.svg", title, found, name == "ratio")


def draw(results: Results, folder: Path) -> None:
    """Write the files of the plots."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("report: no plots, because matplotlib is not installed")
        return
    matplotlib.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for plot in planned(results):
            _draw(plot, folder / plot.file)


def _ratios(results: Results, question: str, threads: int) -> dict[str, float]:
    records = results.of(question, threads)
    return {record.case: record.ratio for record in records if record.ratio is not None}


def _peak_shares(results: Results, question: str, threads: int) -> dict[str, float]:
    records = results.of(question, threads)
    return {record.case: record.peak_share for record in records if record.peak_share is not None}


def _speedups(results: Results, question: str, threads: int) -> dict[str, float]:
    records = results.of("scaling", threads)
    split = [(record, *record.case.split(": ")) for record in records]
    return {case: record.speedup for record, asked, case in split if asked == question}


# Each plot's file name, title, questions, and function of the values by case.
_PLOTS: list[tuple[str, str, tuple[str, ...], Callable[[Results, str, int], dict[str, float]]]] = [
    (
        "ratio",
        "Time of fastrnn / time of the best peer",
        ("inference", "training", "step"),
        _ratios,
    ),
    ("peak", "Share of the FMA peak", ("inference", "training"), _peak_shares),
    ("scaling", "Speedup over one thread", ("inference", "training"), _speedups),
]


def _draw(plot: Plot, path: Path) -> None:
    """Draw a panel for each question, with a line of the same height for each case."""
    from matplotlib import pyplot

    lines = max(map(len, plot.panels.values()))
    size = (3.4 * len(plot.panels), 1.0 + 0.13 * lines)
    figure, axes = pyplot.subplots(1, len(plot.panels), figsize=size, sharex=True, squeeze=False)
    for panel, (question, values) in zip(axes[0], plot.panels.items(), strict=True):
        _panel(panel, values, ratios=plot.ratios)
        panel.set_title(question, fontsize=8)
        panel.set_ylim(len(values) - lines - 0.7, len(values) - 0.3)
    figure.suptitle(plot.title)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _panel(panel: Any, values: dict[str, float], *, ratios: bool) -> None:
    """Draw the best on top; ratios on a logarithmic scale around 1."""
    ordered = sorted(values.items(), key=lambda item: item[1], reverse=ratios)
    names, found = zip(*ordered, strict=True)
    colours = [BEHIND if ratios and value > 1 else AHEAD for value in found]
    panel.hlines(range(len(found)), 1 if ratios else 0, found, colors=colours, linewidth=1)
    panel.scatter(found, range(len(found)), c=colours, s=9)
    panel.axvline(1, color=GUIDE, linewidth=0.8, linestyle="--")
    panel.set_yticks(range(len(names)), names, fontsize=6)
    if ratios:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_formatter("{x:g}")
    else:
        panel.set_xlim(left=0)
