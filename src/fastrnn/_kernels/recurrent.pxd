from fastrnn._kernels.backward cimport GradientPart
from fastrnn._kernels.schedule cimport Schedule
from fastrnn._kernels.simd cimport (
    fr_backward_step, fr_cell, fr_index, fr_kernels, fr_layout, fr_step, fr_view
)
from fastrnn._kernels.team cimport Team

# Rows up to which a step streams the weights as they lie, once a row, instead of packing them.
cdef enum:
    SINGLE_ROWS = 4


cdef class Recurrence:
    cdef const fr_kernels *kernels
    cdef fr_step *step
    cdef fr_backward_step *backward_step
    cdef fr_cell cell
    cdef fr_layout layout_x
    cdef fr_layout layout_h
    cdef fr_index first_h
    cdef fr_index h_gate
    cdef bint gated
    cdef Schedule schedule
    cdef object x
    cdef object Wx
    cdef object Wh
    cdef list tape
    cdef double work(self)
    cdef Team team(self, object num_threads, double work)
    cdef fr_view view(self, list owner, object array)
    cdef object state_of_sequences(self, void *state, fr_index slots)
    cdef void *state_rows(self, list owner, fr_index slots, object state) except NULL
    cdef int begin(self, object x, object Wx, object Wh, object lengths, bint reverse) except -1
    cdef void *reserve(self, list owner, fr_index count, bint zeroed=*) except NULL
    cdef list forward(self, object b, list states, object y, bint train, object num_threads)
    cdef tuple backward(self, object dy, list dstates, list gradients, object num_threads)
    cdef int forward_extras(self, list scratch) except -1
    cdef int backward_extras(self, list scratch, const void **wh_n_t, void **dreset_h) except -1
    cdef int extra_part(self, list gradients, GradientPart *part)
