from __future__ import annotations

import numpy as np

from fastrnn.models import TokenAttention


def test_the_text_is_a_grid_under_the_source_tokens() -> None:
    weights = np.array([[0.9, 0.1, 0.0], [0.05, 0.4, 0.55]])
    lines = TokenAttention(["the", "c", "at"], ["x", "yes"], weights).to_text().splitlines()
    assert lines == ["    the  c at", "  x  %% ..   ", "yes     == ++"]


def test_wide_letters_and_marks_stand_over_their_columns() -> None:
    attention = TokenAttention(["나", "는", " ", "e\u0301"], ["예", "go"], np.eye(2, 4))
    assert attention.to_text().splitlines() == [
        "   나 는     e\u0301",
        "예 @@         ",
        "go    @@      ",
    ]
