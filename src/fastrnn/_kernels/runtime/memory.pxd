cimport numpy as cnp

cdef struct Block:
    void *address
    Py_ssize_t bytes

cdef class Buffer:
    cdef Block block
    cdef void *data
    cdef Py_ssize_t bytes

cdef char *carve(char **at, Py_ssize_t bytes) noexcept nogil
cdef cnp.ndarray new_array(int dims, cnp.npy_intp *shape, int typenum)
cpdef empty(tuple shape, dtype)
cpdef empty_like(cnp.ndarray array)
