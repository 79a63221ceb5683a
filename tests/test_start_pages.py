"""docs/start: the code of each page runs, Python and commands in the order of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import blocks, commands, missing

from fastrnn.cli import main

PAGES = sorted((Path(__file__).parent.parent / "docs" / "start").glob("*.md"))
SMALL = ["--hidden", "8", "--embedding", "8", "--epochs", "1"]  # argparse takes the last


def test_there_is_a_page_for_each_kind_of_user() -> None:
    assert [page.stem for page in PAGES] == ["application", "numpy", "pairs", "pytorch"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text("utf-8").replace("dates(5_000)", "dates(400)")
    if absent := missing("\n".join(blocks(text, "python"))):
        pytest.skip(f"not installed: {', '.join(sorted(absent))}")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, block in re.findall(r"^```(python|sh)\n(.*?)^```$", text, re.DOTALL | re.M):
        if language == "python":
            exec(compile(block, page.name, "exec"), names)
        for command in commands(block) if language == "sh" else []:
            assert main([*command, *(SMALL if command[0] == "train" else [])]) == 0, command
    for path in re.findall(r"(?:-o|--attention-plot|open\()\s?\"?([\w.]+)", text):
        assert (tmp_path / path).exists(), path
