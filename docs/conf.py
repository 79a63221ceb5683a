"""The site: ``sphinx-build -W docs build/site``. Its pages load nothing from other hosts."""

from __future__ import annotations

import posixpath
import re
from importlib.util import find_spec
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import fastrnn

project = "fastrnn"
version = release = fastrnn.__version__
copyright = "the fastrnn authors"
language = "en"
root_doc = "index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
default_role = "py:obj"

# Formulas and links are written as a code host shows them.
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc's sections say the types
autodoc_member_order = "bysource"
autodoc_mock_imports = [name for name in ["torch"] if not find_spec(name)]
numpydoc_show_class_members = False  # autodoc lists them
# The parameters of a docstring are those of the signature.
numpydoc_validation_checks = {"PR02"}

html_theme = "alabaster"
html_title = f"fastrnn {version}"
html_theme_options = {
    "description": "Recurrent networks on a CPU",
    "fixed_sidebar": True,
    "page_width": "1100px",
    "sidebar_width": "250px",
    "show_powered_by": False,
}
html_copy_source = False

REPOSITORY = "https://github.com/fastrnn/fastrnn/blob/main"
OUTSIDE = re.compile(r"(?<=\]\()(\.\./[^)\s]+)(?=\))")


def link_to_repository(app: Any, docname: str, source: list[str]) -> None:
    """Let links to files that are not in docs/, such as examples, lead to the repository."""
    folder = posixpath.join("docs", posixpath.dirname(docname))

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        return match[1] if path.startswith("docs/") else f"{REPOSITORY}/{path}"

    source[0] = OUTSIDE.sub(target, source[0])


def visit_formula(self: Any, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    is_block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=is_block)
    self.body.append(f'<div class="math">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", link_to_repository)
    app.add_html_math_renderer("mathml", (visit_formula, None), (visit_formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


html_math_renderer = "mathml"
