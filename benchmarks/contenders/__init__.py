"""The compared libraries. A contender has a method for each question that it answers.

The method takes a case (see `cases`) and returns a `Task` with the case's inputs and weights,
prepared before the timing in the memory layout that the contender prefers.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

import simd
from contenders.base import Contender, Task

__all__ = ["Contender", "Task", "installed", "missing"]

# The module of each contender, in the order of the tables, and the package that it needs.
_NEEDS = {
    "fastrnn_frozen": ("fastrnn",),
    "fastrnn_compiled": ("fastrnn",),
    "fastrnn_reference": ("fastrnn",),
    "pytorch": ("torch",),
    "pytorch_loop": ("torch",),
    "pytorch_compiled": ("torch",),
    "onnx_runtime": ("onnx", "onnxruntime"),
    "open_vino": ("onnx", "openvino"),
    "jax_scan": ("jax",),
}


def _missing_of(module: str) -> list[str]:
    return [package for package in _NEEDS[module] if find_spec(package) is None]


def missing() -> list[str]:
    """A line for each contender that is left out."""
    absent = [
        f"{module} is left out, because it needs {' and '.join(_missing_of(module))}"
        for module in _NEEDS
        if _missing_of(module)
    ]
    free = [
        f"{module} is left out, because nothing holds it to {simd.narrowed()}"
        for module in _NEEDS
        if not _missing_of(module) and not simd.holds(module)
    ]
    return [f"benchmarks: {line}" for line in (*absent, *free)]


@cache
def installed() -> tuple[type[Contender], ...]:
    """The contenders whose packages are installed and which run on fastrnn's instruction set."""
    return tuple(
        import_module(f"contenders.{module}").CONTENDER
        for module in _NEEDS
        if not _missing_of(module) and simd.holds(module)
    )
