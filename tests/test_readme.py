"""The Python code in the README runs, block after block, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link
