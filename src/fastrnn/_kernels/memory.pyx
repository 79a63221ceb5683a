"""Scratch and tape memory: aligned to a cache line, checked, freed with its owner."""

from libc.stdint cimport uintptr_t
from libc.string cimport memset
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

cdef Py_ssize_t ALIGNMENT = 64


cdef class Buffer:
    """`size` bytes aligned to 64, uninitialised unless `zeroed`."""


    def __cinit__(self, Py_ssize_t size, bint zeroed=False):
        # One more vector at the end, so that a full vector may be read at any element.
        self.block = PyMem_RawMalloc(size + 2 * ALIGNMENT)
        if self.block == NULL:
            raise MemoryError(f"fastrnn: no memory for {size} bytes of work space")
        self.size = size
        self.data = <void *>((<uintptr_t>self.block + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1))
        if zeroed:
            memset(self.data, 0, size)

    def __dealloc__(self):
        PyMem_RawFree(self.block)
