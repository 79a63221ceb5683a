"""The rooms of `_kernels` stand on floors: a file cimports and imports only from floors below."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src/fastrnn/_kernels"
# From the ground up; rooms of one floor do not know each other.
FLOORS = [{"simd"}, {"runtime"}, {"linalg"}, {"pointwise", "attention"}, {"recurrent"}, {"decoder"}]
GROUND = ["_cells", "_low_precision", "_program"]
LINE = re.compile(r"^\s*(?:from|c?import)\s+fastrnn\.(\w+)(?:\.(\w+))?", re.MULTILINE)
FILES = sorted(
    p for p in ROOT.rglob("*.p*") if p.suffix in (".py", ".pyx", ".pxd") and p.parent != ROOT
)


def floor(room):
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def above(path, source):
    """The rooms that a file uses and that are not below its own; itself is allowed."""
    own = path.parent.name
    return [
        f"{package}.{room}"
        for package, room in LINE.findall(source)
        if package not in ("_kernels", *GROUND)
        or (package == "_kernels" and room != own and floor(room) >= floor(own))
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_knows_only_lower_floors(path):
    assert above(path, path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "from fastrnn._kernels.decoder.decoding cimport x",
        "from fastrnn._kernels.attention.attention cimport x",
        "    from fastrnn._kernels.pointwise.dropout import dropout",
        "from fastrnn.ops import lstm",
    ],
)
def test_a_wrong_line_is_found(line):
    assert above(ROOT / "linalg/matrix.pyx", line)


def test_nothing_lies_between_the_rooms():
    files = {path.name for path in ROOT.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__init__.pyi", "simd.pxd"}
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"__pycache__"}
    assert rooms == set().union(*FLOORS)
