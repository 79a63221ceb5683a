"""The Python code in docs/interop.md runs, each section by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pages import blocks, missing

PAGE = Path(__file__).parent.parent / "docs" / "interop.md"


def sections() -> dict[str, str]:
    """The code of each section that has some, by title, its blocks joined."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    code = {
        title: "\n".join(blocks(text, "python"))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {title: lines for title, lines in code.items() if lines}


def test_numpy_layers_are_among_the_sections() -> None:
    assert "NumPy layers" in sections()


@pytest.mark.parametrize("title", sections())
def test_a_section_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = sections()[title]
    if absent := missing(code):
        pytest.skip(f"not installed: {', '.join(sorted(absent))}")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"{PAGE.name}: {title}", "exec"), {})
