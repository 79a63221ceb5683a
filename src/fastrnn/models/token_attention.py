"""What a translation paid attention to, token by token."""

from __future__ import annotations

import os
import unicodedata
from typing import Any, NamedTuple

from fastrnn._renamed import warn
from fastrnn.models.base import Array

_SHADES = " .:-=+*#%@"


class TokenAttention(NamedTuple):
    """The attention of one translation; `fastrnn.plot` draws it.

    Attributes
    ----------
    source, target : list of str
        The tokens.
    weights : array, shape (len(target), len(source))
        ``weights[i, j]`` is the attention that ``target[i]`` paid to ``source[j]``; rows sum to 1.
    """

    source: list[str]
    target: list[str]
    weights: Array

    def to_text(self) -> str:
        """Draw the weights with characters: the denser one is, the larger the weight."""
        width = max(map(_columns, self.target), default=0)
        cells = [max(_columns(token), 2) for token in self.source]
        lines = [" " * (width + 1) + " ".join(map(_right, self.source, cells))]
        for token, row in zip(self.target, self.weights, strict=True):
            levels = (row * (len(_SHADES) - 1)).round().astype(int)
            shades = [(_SHADES[i] * 2).rjust(n) for i, n in zip(levels, cells, strict=True)]
            lines.append(_right(token, width) + " " + " ".join(shades))
        return "\n".join(lines)

    def draw(self, axes: Any) -> Any:
        """Call `fastrnn.plot.attention`, whose old name this is."""
        warn("TokenAttention: draw is now fastrnn.plot.attention(*attention, axes)")
        from fastrnn.plot import attention

        return attention(*self, axes)

    def save_image(self, path: str | os.PathLike[str]) -> None:
        """Call `fastrnn.plot.save_attention`, whose old name this is."""
        warn("TokenAttention: save_image is now fastrnn.plot.save_attention(*attention, path)")
        from fastrnn.plot import save_attention

        save_attention(*self, path)


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two a letter of Hangul, kana or Han."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _right(text: str, columns: int) -> str:
    """Put a text at the right of so many columns."""
    return " " * (columns - _columns(text)) + text
