cdef struct Block:
    void *address
    Py_ssize_t bytes

cdef class Buffer:
    cdef Block block
    cdef void *data
