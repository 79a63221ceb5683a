from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.font_manager import fontManager, get_font_names

from fastrnn.models import Alignment
from fastrnn.models.fonts import fonts_for


def test_the_text_is_a_grid_under_the_source_tokens() -> None:
    weights = np.array([[0.9, 0.1, 0.0], [0.05, 0.4, 0.55]])
    lines = Alignment(["the", "c", "at"], ["x", "yes"], weights).to_text().splitlines()
    assert lines == ["    the  c at", "  x  %% ..   ", "yes     == ++"]


def test_wide_letters_and_marks_stand_over_their_columns() -> None:
    alignment = Alignment(["나", "는", " ", "e\u0301"], ["예", "go"], np.eye(2, 4))
    assert alignment.to_text().splitlines() == [
        "   나 는     e\u0301",
        "예 @@         ",
        "go    @@      ",
    ]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=4)
    path = tmp_path / "attention.png"
    Alignment(list("8/3/14 "), list("2014"), weights).save_image(path)
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
    Alignment(["\u10a0", "b"], ["x"], np.array([[0.3, 0.7]])).save_image(tmp_path / "picture.png")
    assert not list(recwarn)


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0)])
def test_nothing_to_see_is_drawn_without_a_warning(
    shape: tuple[int, int], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    rows, columns = shape
    Alignment(["s"] * columns, ["t"] * rows, np.zeros(shape)).save_image(tmp_path / "picture.png")
    assert not list(recwarn)


def test_a_picture_is_written_whole_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, alignment = tmp_path / "picture", Alignment(["a"], ["b"], np.ones((1, 1)))
    alignment.save_image(path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        alignment.save_image(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
