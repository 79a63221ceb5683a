"""The README's Python code and its commands run, block after block; its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fastrnn.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGES[0].read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    lstm, y, h, dx = names["lstm"], names["y"], names["h"], names["dx"]
    assert (y.shape, h.shape, dx.shape) == ((8, 20, 128), (2, 8, 128), (8, 20, 64))
    assert all(grad.any() for grad in lstm.grads.values())
    assert len(names["history"]) == 2 and len(names["answers"]) == 2


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PAIRS.tsv", "TEST.tsv"):
        Path(name).write_text("".join(f"text {i}\t{i} some\n" for i in range(40)))
    for name in ("TEXT.txt", "OTHER.txt"):
        Path(name).write_text("Once upon a time\n" * 80)
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGES[0].read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("fastrnn ")]
    small = ["--hidden", "8", "--embedding", "8", "--epochs", "1", "--batch-size", "8"]
    for command in commands:
        assert main([*command, *(small if "train" in command else [])]) == 0, command
    assert {command[0] for command in commands} == {"train", "translate", "evaluate", "lm"}
    written = {path.name for path in tmp_path.iterdir()}
    assert {"model.safetensors", "attention.png", "lm.safetensors"} <= written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


# Where a path in a document may begin.
ROOTS = [ROOT, *(ROOT / "src/fastrnn").glob("**/"), *(ROOT / n for n in ("tests", "examples"))]
PATH = re.compile(r"`(\w[\w./-]*\.(?:py|pyx|pxd|pyi|h|c|def|sh|toml|md)|[\w/-]+/)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    named = set(PATH.findall(page.read_text())) - {"common/time_layers.py"}  # of the textbook
    named -= {"s.c", "s.h"}  # states of a cell
    named = {path for path in named if "mycell" not in path}
    assert [
        path for path in sorted(named) if not any((root / path).exists() for root in ROOTS)
    ] == []
