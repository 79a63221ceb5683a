from __future__ import annotations

from pathlib import Path

import numpy as np

from fastrnn.models import Alignment


def test_the_text_is_a_grid_under_the_source_tokens() -> None:
    weights = np.array([[0.9, 0.1, 0.0], [0.05, 0.4, 0.55]])
    lines = Alignment(["the", "c", "at"], ["x", "yes"], weights).to_text().splitlines()
    assert lines == ["    the  c at", "  x  %% ..   ", "yes     == ++"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(7), size=4)
    path = tmp_path / "attention.png"
    Alignment(list("8/3/14 "), list("2014"), weights).save_image(path)
    assert path.read_bytes().startswith(b"\x89PNG")
