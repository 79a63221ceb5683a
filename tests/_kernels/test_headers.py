"""The C headers stand alone, and cells.def lists the cells of the registry."""

from __future__ import annotations

import re
import shlex
import subprocess
import sysconfig
from pathlib import Path
from shutil import which

import pytest

from fastrnn._cells import CELLS

ROOT = Path(__file__).parents[2] / "src/fastrnn/_kernels/simd"
HEADERS = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.h"))
# The compiler of this Python, or the system's.
COMPILERS = [shlex.split(name) for name in (sysconfig.get_config_var("CC"), "cc") if name]
COMPILER = next((command for command in COMPILERS if which(command[0])), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
FLAGS = [
    *("-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c"),
    # An -inl.h has functions for its includers, and some loops that only GCC is told to unroll.
    *("-Wno-unused-function", "-Wno-unused-const-variable", "-Wno-unknown-pragmas"),
    *("-DFR_ISA=generic", "-DFR_VECTOR_BYTES=16", "-DFR_REAL_BYTES=4"),
    *(f"-I{ROOT}", f"-I{ROOT / 'cells'}"),
]


def diagnostics(source):
    """What the compiler says of a source."""
    command = [*COMPILER, *FLAGS, "-"]
    return subprocess.run(command, input=source, text=True, capture_output=True).stderr


@needs_compiler
@pytest.mark.parametrize("name", HEADERS)
def test_a_header_includes_what_it_uses_and_may_be_included_twice(name):
    assert diagnostics(f'#include "{name}"\n' * 2) == ""


@needs_compiler
def test_a_missing_include_is_found():
    line = '#include "../vmath-inl.h"\n'
    source = (ROOT / "cells/rnn-inl.h").read_text().replace("#pragma once\n", "")
    assert diagnostics(source) == ""
    assert "vtanh" in diagnostics(source.replace(line, ""))


def test_the_list_of_cells_is_that_of_the_registry():
    source = (ROOT / "cells.def").read_text()
    assert re.findall(r"^FR_CELL\((\w+)\)", source, re.MULTILINE) == list(CELLS)
