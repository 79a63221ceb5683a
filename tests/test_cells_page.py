"""docs/cells.md: its code runs, and it names every word, every layer and tested messages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from support.pages import blocks

import fastrnn
from fastrnn import cell

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/cells.md").read_text()
MESSAGES = re.findall(r"^\| .* \| (.*) \|$", PAGE.split("## What is refused")[1], re.MULTILINE)


def test_its_code_runs():
    names: dict[str, object] = {}
    for code in blocks(PAGE, "python"):
        exec(compile(code, "cells.md", "exec"), names)
    y, state = names["layer"](np.ones((2, 3, 8), np.float32))
    assert y.shape == (2, 3, 16) and state.shape == (1, 2, 16)


def test_it_names_every_word_and_layer():
    words = set(cell.__all__) - {"define", "from_dict", "to_dict", "abs"}
    assert [word for word in words if f"`{word}(" not in PAGE] == []
    for name in (*fastrnn.layers.library.__all__, "LSTMP", "ZoneoutLSTM"):
        assert f"`{name}`" in PAGE


def test_its_messages_are_tested():
    tests = (ROOT / "tests/cell/test_language.py").read_text()
    given = [text for text in MESSAGES if text not in ("said", "---", "a TypeError")]
    assert len(given) == 8
    for text in given:
        assert text[:20] in tests, text
