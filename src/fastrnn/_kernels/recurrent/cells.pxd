from fastrnn._kernels.recurrent.backward cimport GradientPart
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport (
    fr_backward_step, fr_cell, fr_cell_backward, fr_cell_kernels, fr_cell_single, fr_index,
    fr_kernels, fr_layout, fr_step,
)


cdef class Weights:
    cdef const fr_kernels *kernels
    cdef fr_step *step
    cdef fr_backward_step *backward_step
    cdef fr_layout layout_x, layout_h
    cdef fr_index input, hidden, h_gate
    cdef bint gated, relu, complement
    cdef object Wx, Wh, b, bh
    cdef Buffer wx, wh, bias, bias_h, wh_n
    cdef int pack(self, object num_threads) except -1
    cdef int pack_extras(self, object num_threads) except -1
    cdef void drop(self) noexcept
    cdef void give(self, fr_cell *m) noexcept
    cdef void shape_of(self, fr_cell *m) noexcept
    cdef tuple gradients(self, fr_index ahead=*)
    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1
    cdef int extra_part(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *part
    ) except -1

cdef Weights cell_weights(object cell, object arrays, object options)
cdef const fr_cell_kernels *single_step(
    object cell, object options, fr_index itemsize, fr_cell_single *m
) except NULL
