"""Scratch and tape memory: aligned to a cache line, checked, freed with its owner."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uintptr_t
from libc.string cimport memset

cdef Py_ssize_t ALIGNMENT = 64
cdef Py_ssize_t MOST_BYTES = <Py_ssize_t>((<size_t>-1) >> 1) - 128


cdef class Buffer:
    """`count` items aligned to 64 bytes, uninitialised unless `zeroed`."""

    def __cinit__(self, Py_ssize_t count, Py_ssize_t itemsize, bint zeroed=False):
        if count < 0 or count > MOST_BYTES // itemsize:
            raise MemoryError(f"fastrnn: no memory for {count} items of {itemsize} bytes")
        # A cache line more at the end, so that a full vector may be read at any element.
        self.block = PyMem_RawMalloc(count * itemsize + 2 * ALIGNMENT)
        if self.block == NULL:
            raise MemoryError(f"fastrnn: no memory for {count} items of {itemsize} bytes")
        self.data = <void *>((<uintptr_t>self.block + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))
        if zeroed:
            memset(self.data, 0, count * itemsize)

    def __dealloc__(self):
        PyMem_RawFree(self.block)
