"""The Python code in docs/interop.md runs, each section by itself."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "interop.md"


def sections() -> dict[str, str]:
    """The code of each section that has some, by title, its blocks joined."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    blocks = {
        title: re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {title: "\n".join(code) for title, code in blocks.items() if code}


def missing(code: str) -> set[str]:
    """Packages that the code imports and that are not installed."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name for name in {name.partition(".")[0] for name in names} if not find_spec(name)}


def test_numpy_layers_are_among_the_sections() -> None:
    assert "NumPy layers" in sections()


@pytest.mark.parametrize("title", sections())
def test_a_section_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = sections()[title]
    if absent := missing(code):
        pytest.skip(f"not installed: {', '.join(sorted(absent))}")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"{PAGE.name}: {title}", "exec"), {})
