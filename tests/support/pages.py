"""The code of pages in Markdown."""

from __future__ import annotations

import ast
import re
import shlex
from importlib.util import find_spec


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[list[str]]:
    """The arguments of each `fastrnn` command of a block of shell."""
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("fastrnn ")]


def missing(code: str) -> set[str]:
    """Packages that the code imports and that are not installed."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name for name in {name.partition(".")[0] for name in names} if not find_spec(name)}
