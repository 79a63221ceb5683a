"""Fonts for tokens of any script: matplotlib draws a box for a letter that its font lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font


class Fonts(NamedTuple):
    """Families that together draw some texts.

    Attributes
    ----------
    families : list of str
        What matplotlib takes as ``family``: it looks a letter up in each of them in turn.
    missing : set of str
        The letters that no installed font has.
    """

    families: list[str]
    missing: set[str]


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Choose installed fonts for all letters of the texts: monospace, and more where it must be."""
    missing = {letter for text in texts for letter in text if not letter.isspace()}
    families = []
    for family, letters in _installed():
        if family == "monospace" or missing & letters:
            families.append(family)
            missing -= letters
        if not missing:
            break
    return Fonts(families, missing)


def _installed() -> Iterator[tuple[str, set[str]]]:
    """Give each family, monospace first, with the letters that it has."""
    yield "monospace", set(map(chr, FT2Font(findfont("monospace")).get_charmap()))
    for font in fontManager.ttflist:
        # The font of last resort has a box for every letter there is.
        if not font.name.startswith("Last Resort"):
            yield font.name, set(map(chr, FT2Font(font.fname).get_charmap()))
