from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_batch, fr_index, fr_view


cdef class BatchOrder:
    cdef fr_batch c
    cdef Buffer memory
    cdef fr_index *order
    cdef fr_index *steps
    cdef bint reverse
    cdef fr_index length
    cdef fr_view view(self, object array, void **rows)
    cdef void clear_padding(self, object array) noexcept
    cdef void copy_in(self, char *rows, fr_index row_bytes, object array) noexcept
    cdef void copy_out(
        self, object array, const char *state, fr_index slots, fr_index row_bytes
    ) noexcept
