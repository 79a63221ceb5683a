"""The instruction set in use and its plans of products: found at import.

`FASTRNN_SIMD` and `FASTRNN_CACHES` override them.
"""

import os

from cpython.unicode cimport PyUnicode_AsUTF8
from libc.string cimport strcmp

from fastrnn._kernels.simd cimport (
    fr_cell_kernels, fr_find, fr_int8_kernels, fr_kernels, fr_plan
)

from fastrnn._kernels.runtime.processor import find_caches, plan_for

cdef extern from "dispatch.h" nogil:
    bint fr_supported(const char *isa)
    const fr_int8_kernels *fr_int8_way(const char *isa, int number)
    unsigned fr_flush_denormals()
    void fr_restore_mode(unsigned mode)

INSTRUCTION_SETS = ("avx512", "avx2", "neon", "generic")

cdef const fr_kernels *float_kernels
cdef const fr_kernels *double_kernels
cdef const fr_int8_kernels *int8_chosen
cdef fr_plan float_plan, double_plan
cdef Py_ssize_t most_joined


cdef const fr_kernels *kernels_for(Py_ssize_t itemsize) noexcept:
    """The kernels of the chosen instruction set for float (4) or double (8)."""
    return float_kernels if itemsize == 4 else double_kernels


cdef const fr_int8_kernels *int8_kernels() noexcept:
    """How the chosen instruction set multiplies 8-bit integers."""
    return int8_chosen


cdef const fr_cell_kernels *cell_kernels(const fr_kernels *kernels, str name) except NULL:
    """The kernels of a cell, by its name in simd/cells.def."""
    cdef const char *wanted = PyUnicode_AsUTF8(name)
    cdef const fr_cell_kernels *cell = kernels.cells
    while cell.name != NULL:
        if strcmp(cell.name, wanted) == 0:
            return cell
        cell += 1
    raise ValueError(f"{name}: no compiled kernels")


cdef const fr_plan *plan_of(const fr_kernels *kernels) noexcept nogil:
    """How these kernels cut products on this processor."""
    return &float_plan if kernels.itemsize == 4 else &double_plan


cdef Py_ssize_t joined_bytes() noexcept nogil:
    """Weights up to which x joins the product of every step."""
    return most_joined


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


def int8_ways():
    """Names of the ways of that set to multiply 8-bit integers on this machine, best first."""
    cdef const fr_int8_kernels *way = fr_int8_way(float_kernels.isa, 0)
    names = []
    while way != NULL:
        names.append(way.name.decode())
        way = fr_int8_way(float_kernels.isa, len(names))
    return tuple(names)


def int8_way():
    """Name of the one in use."""
    return int8_chosen.name.decode()


def choose_int8(name):
    """Use another one of `int8_ways` from the next freeze on; for tests."""
    global int8_chosen
    int8_chosen = fr_int8_way(float_kernels.isa, int8_ways().index(name))


def caches():
    """The sizes that the plans were made for."""
    return found


def plan(itemsize=4):
    """The plan of products of float32 or float64."""
    return plan_for(chosen(), itemsize, found)


def plan_products(sizes):
    """Make the plans of the instruction set in use for caches of these sizes; see `choose`."""
    global found, most_joined
    found = sizes
    set_plan(&float_plan, plan(4))
    set_plan(&double_plan, plan(8))
    most_joined = plan().joined_bytes


cdef void set_plan(fr_plan *to, made) noexcept:
    to.depth, to.rows, to.near, to.fetch = made.depth, made.rows, made.near, made.fetch


def choose(name):
    """Use another instruction set from the next forward on; for tests, while no call runs."""
    global float_kernels, double_kernels, int8_chosen
    if name not in supported():
        raise ValueError(
            f"FASTRNN_SIMD: {name!r} is not an instruction set of this build and machine, "
            f"wanted one of {', '.join(supported())}"
        )
    float_kernels = fr_find(name.encode(), 4)
    double_kernels = fr_find(name.encode(), 8)
    int8_chosen = fr_int8_way(name.encode(), 0)
    plan_products(found)


found = find_caches()
choose(os.environ.get("FASTRNN_SIMD") or supported()[0])
