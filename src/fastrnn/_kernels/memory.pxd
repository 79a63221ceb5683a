cdef class Buffer:
    cdef void *block
    cdef void *data
