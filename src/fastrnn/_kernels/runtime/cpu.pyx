"""The instruction set in use: detected at import, `FASTRNN_SIMD` overrides it."""

import os

from cpython.unicode cimport PyUnicode_AsUTF8
from libc.string cimport strcmp

from fastrnn._kernels.simd cimport fr_cell_kernels, fr_find, fr_kernels

cdef extern from "dispatch.h" nogil:
    bint fr_supported(const char *isa)
    unsigned fr_flush_denormals()
    void fr_restore_mode(unsigned mode)

INSTRUCTION_SETS = ("avx512", "avx2", "generic")

cdef const fr_kernels *float_kernels
cdef const fr_kernels *double_kernels


cdef const fr_kernels *kernels_for(Py_ssize_t itemsize) noexcept:
    """The kernels of the chosen instruction set for float (4) or double (8)."""
    return float_kernels if itemsize == 4 else double_kernels


cdef const fr_cell_kernels *cell_kernels(const fr_kernels *kernels, str name) except NULL:
    """The kernels of a cell, by its name in simd/cells.def."""
    cdef const char *wanted = PyUnicode_AsUTF8(name)
    cdef const fr_cell_kernels *cell = kernels.cells
    while cell.name != NULL:
        if strcmp(cell.name, wanted) == 0:
            return cell
        cell += 1
    raise ValueError(f"{name}: no compiled kernels")


cdef unsigned flush_denormals() noexcept nogil:
    return fr_flush_denormals()


cdef void restore_mode(unsigned mode) noexcept nogil:
    fr_restore_mode(mode)


def supported():
    """Names of the instruction sets that were built and that this machine runs, best first."""
    return tuple(name for name in INSTRUCTION_SETS if fr_supported(name.encode()))


def chosen():
    """Name of the instruction set in use."""
    return float_kernels.isa.decode()


def choose(name):
    """Use another instruction set from the next forward on."""
    global float_kernels, double_kernels
    if name not in supported():
        raise ValueError(
            f"FASTRNN_SIMD: {name!r} is not an instruction set of this build and machine, "
            f"wanted one of {', '.join(supported())}"
        )
    float_kernels = fr_find(name.encode(), 4)
    double_kernels = fr_find(name.encode(), 8)


choose(os.environ.get("FASTRNN_SIMD") or supported()[0])
