cimport numpy as cnp

from fastrnn._kernels.recurrent.backward cimport Backward
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups
from fastrnn._kernels.simd cimport fr_cell, fr_index, fr_kernels, fr_view


cdef class Recurrence:
    cdef const fr_kernels *kernels
    cdef fr_cell cell
    cdef fr_index first_h
    cdef BatchOrder batch
    cdef object x, embedding
    cdef Weights weights
    cdef list tape
    cdef int check_shapes(self) except -1
    cdef ThreadGroups groups(self, object num_threads, double forwards)
    cdef fr_view view(self, list owner, object array)
    cdef int copy_states(
        self, list out, void *const *states, const fr_index *slots
    ) except -1
    cdef void *state_rows(self, list owner, fr_index slots, object state) except NULL
    cdef int begin(
        self, cnp.ndarray x, Weights weights, object lengths, bint reverse, object embedding=*
    ) except -1
    cdef void *reserve(self, list owner, fr_index count, bint zeroed=*) except NULL
    cdef int forward(
        self, list states, list finals, object y, bint train, object num_threads, object drop_h,
        object masks=*
    ) except -1
    cdef int open_forward(
        self, list states, object y, bint train, list scratch, object drop_h=*, object masks=*
    ) except -1
    cdef int close_forward(self, list finals) except -1
    cdef int open_backward(
        self, Backward *b, object dy, object dx, list dstates, tuple gradients, list scratch,
        object num_threads,
    ) except -1
    cdef int open_sums(
        self, Backward *b, list scratch, fr_index count, object ids, fr_view ids_view
    ) except -1
