"""The Korean example: clean pairs, Hangul in Latin letters, and a run of its own."""

from __future__ import annotations

import runpy
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "translate_ko_en.py"))


def test_the_pairs_are_clean(example: dict[str, Any]) -> None:
    text = (EXAMPLES / "korean_english.tsv").read_text("utf-8")
    assert text == unicodedata.normalize("NFC", text) and text.endswith("\n")
    pairs = [line.split("\t") for line in text.splitlines()]
    assert len(pairs) >= 500
    assert all(len(pair) == 2 and pair == [side.strip() for side in pair] for pair in pairs)
    assert all(example["is_hangul"](ko) and en.isascii() for ko, en in pairs)
    assert all(side[-1] in ".?!" for pair in pairs for side in pair)
    assert len({ko for ko, _ in pairs}) == len(pairs)


def test_columns_of_public_files_are_read(example: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    decomposed = unicodedata.normalize("NFD", "물 주세요.")
    path.write_text(f"Water, please.\t{decomposed}\tCC BY\n\n가요!\tLet's go!\n", "utf-8")
    pairs = [("물 주세요.", "Water , please ."), ("가요!", "Let's go !")]
    assert example["korean_and_english"](path) == pairs


@pytest.mark.parametrize(
    ("line", "message"),
    [("물", "no tab"), ("Hi.\tHello.", "got Hi. and Hello."), ("물\t밥", "Hangul on one side")],
)
def test_a_line_without_both_languages_is_named(
    example: dict[str, Any], tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"물\tWater\n{line}\n", "utf-8")
    with pytest.raises(SystemExit, match=rf"pairs\.tsv.*{message}"):
        example["korean_and_english"](path)


def test_hangul_in_latin_letters(example: dict[str, Any]) -> None:
    assert example["romanized"]("한글은 쉬워요!") == "hangeuleun swiwoyo!"
    assert example["romanized"]("값을 뺏긴 왕이") == "gapseul ppaetgin wangi"


@pytest.mark.parametrize("korean", ["characters", "words"])
def test_it_runs_and_draws(
    example: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    korean: str,
) -> None:
    picture = tmp_path / "picture.png"
    arguments = ["example", "--quick", "--korean", korean, "--out", str(picture)]
    monkeypatch.setattr(sys, "argv", arguments)
    example["main"]()
    printed = capsys.readouterr().out
    assert "beam 5: exact " in printed and "  ->  " in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
