"""A narrower instruction set than the machine's best, to which a whole process is held.

ONNX Runtime and JAX cannot be held to AVX2: the first has no such setting, and the products of the
second run in a library that asks only the processor (`--xla_cpu_max_isa` is for generated code).
"""

from __future__ import annotations

import os
import sys

import fastrnn

# By instruction set: the environment variables that hold a contender, by its module. Libraries read
# them once, when they are loaded. fastrnn is held by its own; others without a row are left out.
_HOLDS: dict[str, dict[str, dict[str, str]]] = {
    "avx2": {
        "pytorch": {
            "ATEN_CPU_CAPABILITY": "avx2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        },
        "open_vino": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        "fastrnn_reference": {
            "OPENBLAS_CORETYPE": "Haswell",
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        },
    },
}
_OURS = ("fastrnn_frozen", "fastrnn_compiled")

# What a C compiler is told for bare loops on a set.
_FLAGS = {"avx2": ("-mavx2", "-mfma"), "generic": ()}

SUPPORTED: tuple[str, ...] = fastrnn.cpu_info()["supported"]
"""The instruction sets of this machine, the widest first."""


def narrowed() -> str:
    """The set that this process is held to, or "" if it is the widest."""
    now: str = fastrnn.cpu_info()["simd"]
    return "" if now == SUPPORTED[0] else now


def holds(module: str) -> bool:
    """Whether the contender of a module runs on the same set as fastrnn."""
    if not narrowed() or module in _OURS:
        return True
    variables = _HOLDS.get(narrowed(), {}).get(module)
    return variables is not None and variables.items() <= os.environ.items()


def compiler_flags() -> tuple[str, ...]:
    return _FLAGS[narrowed()] if narrowed() else ("-march=native",)


def restart(simd: str) -> None:
    """Start this program anew, held to a set, unless it is held already."""
    wanted = {} if simd == SUPPORTED[0] else environment(simd)
    if simd != fastrnn.cpu_info()["simd"] or not wanted.items() <= os.environ.items():
        clean = {name: value for name, value in os.environ.items() if name != "FASTRNN_SIMD"}
        os.execve(sys.executable, [sys.executable, *sys.argv], clean | wanted)


def environment(simd: str) -> dict[str, str]:
    """The variables that hold all contenders that can be held."""
    found = {"FASTRNN_SIMD": simd}
    for variables in _HOLDS.get(simd, {}).values():
        found |= variables
    return found
