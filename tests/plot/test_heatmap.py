from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import fontManager, get_font_names

from fastrnn.plot import fonts_for, save_attention


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=4)
    path = tmp_path / "attention.png"
    save_attention("8/3/14 ", "2014", weights, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_letters_that_monospace_has_need_no_other_font() -> None:
    assert fonts_for(["plain letters", "é α"]) == (["monospace"], set())


def test_a_letter_is_looked_up_in_every_font(monkeypatch: pytest.MonkeyPatch) -> None:
    sans = next(font for font in fontManager.ttflist if font.name == "DejaVu Sans")
    monkeypatch.setattr(fontManager, "ttflist", [sans])
    # DejaVu Sans has Georgian capitals of the twelfth century, DejaVu Sans Mono has not.
    letter, nowhere = "\u10a0", "\U0010fffd"
    assert fonts_for(["a" + letter, nowhere]) == (["monospace", "DejaVu Sans"], {nowhere})


def test_letters_of_other_scripts_are_drawn_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert "DejaVu Sans" in get_font_names()
    save_attention(["\u10a0", "b"], ["x"], np.array([[0.3, 0.7]]), tmp_path / "picture.png")
    assert not list(recwarn)


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0)])
def test_nothing_to_see_is_drawn_without_a_warning(
    shape: tuple[int, int], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    rows, columns = shape
    save_attention(["s"] * columns, ["t"] * rows, np.zeros(shape), tmp_path / "picture.png")
    assert not list(recwarn)


def test_a_picture_is_written_whole_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, attention = tmp_path / "picture", (["a"], ["b"], np.ones((1, 1)))
    save_attention(*attention, path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        save_attention(*attention, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_else_imports_matplotlib() -> None:
    root = Path(__file__).parents[2] / "src/fastrnn"
    line = re.compile(r"^\s*(from|import) matplotlib\b", re.MULTILINE)
    rooms = {p.relative_to(root).parts[0] for p in root.rglob("*.py") if line.search(p.read_text())}
    assert rooms == {"plot"}
