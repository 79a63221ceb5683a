"""Cells written in the language, a file each; `fastrnn.layers.library` makes layers of them."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from fastrnn._cells import Cell

NAMES = tuple(name for _, name, _ in iter_modules(__path__))
"""The names of the cells, which are those of their files."""


def named(name: str) -> Cell:
    """Return the cell of this name; if it has options, with the default ones."""
    found: Cell = getattr(import_module(f"{__name__}.{name}"), name)
    return found if isinstance(found, Cell) else found()
