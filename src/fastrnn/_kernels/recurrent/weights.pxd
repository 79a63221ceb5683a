from fastrnn._kernels.recurrent.backward cimport GradientPart
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport (
    fr_backward_step, fr_cell, fr_cell_backward, fr_cell_kernels, fr_code, fr_index, fr_kernels,
    fr_int8_kernels, fr_layout, fr_step,
)


cdef class Weights:
    cdef const fr_kernels *kernels
    cdef fr_step *step
    cdef fr_backward_step *backward_step
    cdef fr_layout layout_x, layout_h
    cdef fr_index input, hidden, output, h_gate
    cdef bint gated, relu
    cdef fr_index meetings  # of the threads that share rows, in each step
    cdef bint unpacked  # wx and wh are read as they lie, which programs can, if H fits vectors
    cdef bint in_place  # whether inference updates the states after h where they are
    cdef object Wx, Wh, b
    cdef int format  # of Wx and Wh
    cdef const fr_int8_kernels *int8
    cdef list packed  # what the packed copies refer to
    cdef Buffer wx, wh, bias
    cdef int begin(
        self, const fr_kernels *kernels, const fr_cell_kernels *functions, object arrays
    ) except -1
    cdef int pack(self, object num_threads) except -1
    cdef Buffer packed_copy(self, object matrix, const fr_layout *layout, object num_threads)
    cdef fr_index weight_bytes(self) noexcept
    cdef void drop(self) noexcept
    cdef void give(self, fr_cell *m) noexcept
    cdef void shape_of(self, fr_cell *m) noexcept
    cdef bint fits(self) except -1
    cdef fr_index multiply_adds(self) noexcept
    cdef Buffer transposed(self, object num_threads)
    cdef tuple gradients(self, fr_index ahead=*)
    cdef int open_tape(
        self, fr_cell *m, list tape, bint train, object masks, BatchOrder batch
    ) except -1
    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1
    cdef int most_parts(self) noexcept
    cdef fr_index chunk_gates(self, const fr_cell *m) noexcept
    cdef fr_index chunk_operands(self, const fr_cell *m) noexcept
    cdef int gradient_parts(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *parts
    ) except -1

cdef fr_index row_length(fr_index numbers, fr_index itemsize) noexcept nogil
cdef void *reserve_numbers(
    list owner, const fr_kernels *kernels, fr_index count, bint zeroed=*
) except NULL
cdef fr_index work_bytes(const fr_kernels *kernels, const fr_cell *m) noexcept nogil
cdef char *work_of(
    list owner, const fr_kernels *kernels, const fr_cell *m, int threads
) except? NULL
cdef fr_index scratch_numbers(const fr_cell *m, fr_index lanes) noexcept nogil
cdef void give_scratch(fr_cell *m, void *memory, fr_index itemsize) noexcept nogil
cdef fr_index program_scratch(
    const fr_cell *m, const fr_code *code, fr_index lanes
) noexcept nogil
cdef void give_program_scratch(
    fr_cell *m, const fr_code *code, void *memory, fr_index itemsize
) noexcept nogil
