"""The tutorial's code runs, in both languages, and its links and figures are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "tutorial"
CHAPTERS = ("1-rnn.md", "2-lstm.md", "3-seq2seq.md", "4-gru.md", "5-attention.md")
PAGES = sorted(FOLDER.glob("*/*.md"))


def code(page: Path) -> str:
    """The Python blocks of a page, joined."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.M)
    return "\n".join(blocks)


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))


@pytest.mark.parametrize("language", ["en", "ko"])
def test_there_are_five_chapters_and_an_index(language: str) -> None:
    assert sorted(path.name for path in (FOLDER / language).iterdir()) == [*CHAPTERS, "README.md"]
    assert set(CHAPTERS) <= set(links(FOLDER / language / "README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_page_runs_and_its_links_lead_somewhere(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for link in links(page):
        assert (page.parent / link).exists(), link
    assert ("```python" in page.read_text("utf-8")) == (page.name != "README.md")
    monkeypatch.chdir(tmp_path)
    exec(compile(code(page), str(page), "exec"), {})


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_both_languages_show_the_same_code_and_figures(chapter: str) -> None:
    english, korean = (FOLDER / language / chapter for language in ("en", "ko"))
    assert ast.dump(ast.parse(code(english))) == ast.dump(ast.parse(code(korean)))
    figures = [
        re.findall(r"\.\./figures/\S+svg", page.read_text("utf-8")) for page in (english, korean)
    ]
    assert figures[0] == figures[1] and figures[0]


def test_every_figure_is_shown() -> None:
    shown = {Path(link).name for page in PAGES for link in links(page) if link.endswith(".svg")}
    assert shown == {path.name for path in (FOLDER / "figures").iterdir()}
