"""Attention weights as a heatmap."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from fastrnn import _storage
from fastrnn._check import Array
from fastrnn.plot.fonts import fonts_for


def attention(
    source: Sequence[str], target: Sequence[str], weights: Array, axes: Axes
) -> AxesImage:
    """Draw attention weights on matplotlib ``axes``, the tokens along both; return the image.

    Parameters
    ----------
    source, target : sequence of str
        The tokens.
    weights : array, shape (len(target), len(source))
        From 0 to 1.
    axes : matplotlib.axes.Axes
    """
    rows, columns = weights.shape
    drawn = weights if weights.size else np.zeros((max(rows, 1), max(columns, 1)))
    image = axes.imshow(drawn, cmap="magma", vmin=0.0, vmax=1.0, aspect="auto")
    families = fonts_for([*source, *target]).families
    axes.set_xticks(range(columns), source, family=families)
    axes.set_yticks(range(rows), target, family=families)
    axes.set_xlabel("source")
    axes.set_ylabel("target")
    return image


def save_attention(
    source: Sequence[str], target: Sequence[str], weights: Array, path: str | os.PathLike[str]
) -> None:
    """Write attention weights to an image file; the suffix says which kind, PNG if there is none.

    A file that was there before stays whole, whatever goes wrong.

    Parameters
    ----------
    source, target, weights
        As for `attention`.
    path : path-like

    Raises
    ------
    ValueError
        If matplotlib cannot write such images.
    OSError
        If the file cannot be written.
    """
    rows, columns = weights.shape
    figure = Figure(figsize=(1.5 + 0.35 * columns, 1.2 + 0.35 * rows), layout="constrained")
    image = attention(source, target, weights, figure.subplots())
    figure.colorbar(image, label="attention")
    written = BytesIO()
    figure.savefig(written, format=Path(path).suffix[1:] or "png", dpi=150)
    _storage.write_bytes(path, written.getvalue())
