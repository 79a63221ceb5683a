"""Attention weights as a picture or as text."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn import _storage
from fastrnn.models.base import Array
from fastrnn.models.fonts import fonts_for

_SHADES = " .:-=+*#%@"


@dataclass(frozen=True)
class Alignment:
    """The attention weights of one translation.

    Attributes
    ----------
    source, target : list of str
        The tokens.
    weights : array (len(target), len(source))
        ``weights[i, j]`` is the attention of ``target[i]`` to ``source[j]``; rows sum to 1.
    """

    source: list[str]
    target: list[str]
    weights: Array

    def draw(self, axes: Any) -> Any:
        """Draw a heatmap with the tokens as labels on matplotlib `axes`; return the image."""
        rows, columns = self.weights.shape
        weights = self.weights if self.weights.size else np.zeros((max(rows, 1), max(columns, 1)))
        image = axes.imshow(weights, cmap="magma", vmin=0.0, vmax=1.0, aspect="auto")
        families = fonts_for(self.source + self.target).families
        axes.set_xticks(range(columns), self.source, family=families)
        axes.set_yticks(range(rows), self.target, family=families)
        axes.set_xlabel("source")
        axes.set_ylabel("target")
        return image

    def save_image(self, path: str | os.PathLike[str]) -> None:
        """Write the heatmap to an image file in the format of the suffix of `path`, PNG if none.

        After an error an existing file is unchanged.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If matplotlib cannot write this format.
        OSError
            If the file cannot be written.
        """
        from matplotlib.figure import Figure

        rows, columns = self.weights.shape
        figure = Figure(figsize=(1.5 + 0.35 * columns, 1.2 + 0.35 * rows), layout="constrained")
        figure.colorbar(self.draw(figure.subplots()), label="attention")
        image = BytesIO()
        figure.savefig(image, format=Path(path).suffix[1:] or "png", dpi=150)
        _storage.write_bytes(path, image.getvalue())

    def to_text(self) -> str:
        """Return the heatmap as lines of text: a denser character is a larger weight."""
        width = max(map(_columns, self.target), default=0)
        cells = [max(_columns(token), 2) for token in self.source]
        lines = [" " * (width + 1) + " ".join(map(_right, self.source, cells))]
        for token, row in zip(self.target, self.weights, strict=True):
            levels = (row * (len(_SHADES) - 1)).round().astype(int)
            shades = [(_SHADES[i] * 2).rjust(n) for i, n in zip(levels, cells, strict=True)]
            lines.append(_right(token, width) + " " + " ".join(shades))
        return "\n".join(lines)


def _columns(text: str) -> int:
    """Return the columns of a text in a terminal: two for each letter of Hangul, kana or Han."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _right(text: str, columns: int) -> str:
    """Right-align a text in so many columns."""
    return " " * (columns - _columns(text)) + text
