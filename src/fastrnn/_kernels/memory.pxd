cdef class Buffer:
    cdef void *data
    cdef void *block
    cdef Py_ssize_t size
