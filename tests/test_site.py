"""The reference names every public name; the site's pages are there and their links lead somewhere.

`tests/tools/check_site.py` checks the built site, in CI.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.public_names import public_modules, undocumented

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
DIRECTIVE = re.compile(
    r"^\.\. (automodule|currentmodule|(?:auto)?(?:class|function|data))::((?: +\w[\w.]*\n)+)", re.M
)


def documented(page: str) -> set[str]:
    """The full names that a page of the reference documents."""
    module, names = "", set()
    for kind, given in DIRECTIVE.findall(page):
        if kind.endswith("module"):
            module = given.strip()
            continue
        names |= {n if n.startswith("fastrnn.") else f"{module}.{n}" for n in given.split()}
    return names


def test_names_are_found_in_a_page() -> None:
    page = ".. automodule:: fastrnn.a\n.. autoclass:: B\n   :members:\n.. data:: c\n          d\n"
    assert documented(page) == {"fastrnn.a.B", "fastrnn.a.c", "fastrnn.a.d"}


def test_every_public_name_is_in_the_reference() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("torch")
    pages = (DOCS / "reference").glob("*.md")
    names = set().union(*(documented(page.read_text("utf-8")) for page in pages))
    assert undocumented(names) == []
    assert {"fastrnn.ops", "fastrnn.models", "fastrnn.torch"} <= set(public_modules())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)[)#]", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link


def test_every_page_is_reached_from_the_first() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    entries = "\n".join(re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.DOTALL | re.M))
    named = [line for line in entries.splitlines() if line and not line.startswith(":")]
    reached = {path for line in named for path in DOCS.glob(f"{line}.md")} | {DOCS / "index.md"}
    assert reached == set(PAGES)
