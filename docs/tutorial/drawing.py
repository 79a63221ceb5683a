"""The house style of the tutorial's figures: boxes, arrows and axes that suit white and dark pages.

Backgrounds are transparent. Lines and words are of a middle grey, and fills dark enough for white
letters, so that both stand out on either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline

INK = "#727b84"
BLUE, ORANGE, GREEN, PURPLE = "#2f74ac", "#c4561a", "#2f7d4f", "#7e57c2"
CYCLE = ("#3b8ac4", "#d9672b", "#3f9e63", "#9a6dd7")  # lighter, for thin lines

STYLE = {
    "svg.hashsalt": "fastrnn",  # the same file from the same figure
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "savefig.transparent": True,
}


@contextmanager
def plot(path: Path, width: float, height: float, columns: int = 1) -> Iterator[np.ndarray]:
    """Axes side by side (columns,), written to `path` when the body is done."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(1, columns, squeeze=False)[0]
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


@contextmanager
def sketch(path: Path, width: float, height: float) -> Iterator[Sketch]:
    """A sheet of `width` by `height` units, written to `path` when the body is done."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.axis("off")
        yield Sketch(axes)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


class Sketch:
    """Shapes by their centres, one unit an inch."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def box(
        self, x: float, y: float, text: str, color: str, width: float = 0.74, height: float = 0.52
    ) -> None:
        """A filled box with white words."""
        corner = (x - width / 2 + 0.08, y - height / 2 + 0.08)
        shape = FancyBboxPatch(
            corner, width - 0.16, height - 0.16, "round,pad=0.08", color=color, zorder=3
        )
        self.axes.add_patch(shape)
        self.text(x, y, text, color="white", zorder=4)

    def gate(self, x: float, y: float, text: str) -> None:
        """A small ring: an operation element by element."""
        self.axes.add_patch(Circle((x, y), 0.17, facecolor=INK, edgecolor="none", zorder=3))
        self.text(x, y - 0.005, text, color="white", size=11, zorder=4)

    def room(self, left: float, bottom: float, width: float, height: float) -> None:
        """A faint area that belongs together."""
        shape = FancyBboxPatch(
            (left, bottom), width, height, "round,pad=0.1", facecolor=INK, alpha=0.13, lw=0
        )
        self.axes.add_patch(shape)

    def dot(self, x: float, y: float, color: str = INK) -> None:
        """Where a line parts in two."""
        self.axes.add_patch(Circle((x, y), 0.045, color=color, zorder=3))

    def text(self, x: float, y: float, text: str, **options: object) -> None:
        self.axes.text(x, y, text, **{"ha": "center", "va": "center", **options})

    def arrow(self, *points: tuple[float, float], color: str = INK, head: bool = True) -> None:
        """A line through `points`, its corners rounded, with a head at the last."""
        style = "-|>,head_length=4,head_width=2.2" if head else "-"
        line = FancyArrowPatch(
            path=_rounded(np.array(points, float)),
            arrowstyle=style,
            color=color,
            lw=1.6,
            joinstyle="miter",
            capstyle="butt",
            zorder=2,
        )
        self.axes.add_patch(line)


def _rounded(points: np.ndarray, radius: float = 0.12) -> Outline:
    """The polyline with a small arc in the place of each corner."""
    vertices, codes = [points[0]], [Outline.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        inward, outward = (
            radius * (end - corner) / np.linalg.norm(end - corner) for end in (before, after)
        )
        vertices += [corner + inward, corner, corner + outward]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, points[-1]], [*codes, Outline.LINETO])
