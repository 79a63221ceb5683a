"""Fonts for tokens of any script: matplotlib draws a box for a letter that the font lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font


class Fonts(NamedTuple):
    """Font families that together have the letters of some texts.

    Attributes
    ----------
    families : list of str
        Value of matplotlib's `family`: a letter comes from the first family that has it.
    missing : set of str
        The letters that no installed font has.
    """

    families: list[str]
    missing: set[str]


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Choose installed fonts for the letters of the texts: monospace, and others if needed."""
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
    """Yield each family, monospace first, with the letters that it has."""
    yield "monospace", set(map(chr, FT2Font(findfont("monospace")).get_charmap()))
    for font in fontManager.ttflist:
        # The font of last resort has a box for every letter.
        if not font.name.startswith("Last Resort"):
            yield font.name, set(map(chr, FT2Font(font.fname).get_charmap()))
