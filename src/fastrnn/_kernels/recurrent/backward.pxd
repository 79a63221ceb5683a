cimport numpy as cnp

from fastrnn._kernels.pointwise.row_sums cimport RowSums
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups
from fastrnn._kernels.simd cimport (
    fr_backward_step, fr_batch, fr_cell_backward, fr_index, fr_kernels, fr_layout, fr_view
)

# One block of the weight gradients: operand^T dgates, for some rows of the operand (x, h, r*h, or
# a constant 1 for a bias) and some vectors of every panel of dgates.
cdef struct GradientPart:
    fr_index operand    # its first vector, or -1 for the constant
    fr_index rows
    fr_index panel      # of dgates, the first
    fr_index gate       # of such a panel, the first
    fr_layout layout    # where its columns belong
    char *out
    fr_index out_bytes  # from one row of it to the next

cdef struct Backward:
    const fr_kernels *kernels
    fr_cell_backward m
    fr_backward_step *step
    fr_view dx
    const void *wx_t
    fr_layout layout_x
    GradientPart *parts
    int part_count
    fr_index first, end  # steps of the chunk
    void **operands     # pointers to every row of every part's operand
    void **results      # and of its result
    void **chunk_rows   # pointers to every row of dgates in the chunk, of its last panel, of dx
    const void *one
    RowSums sums        # where x, or a part of it, is rows of an embedding: of the dgates that
    fr_view ids         # belong to each row, by the numbers of the rows
    fr_index row_bytes  # of dgates and operand in a chunk
    char *work          # for each thread: scratch memory of a program; NULL where there is none

cdef GradientPart gradient_part(
    fr_index operand, fr_index rows, fr_index gate, const fr_layout *layout, cnp.ndarray out
) noexcept
cdef fr_index largest_chunk(const fr_batch *batch, fr_index row_bytes) noexcept nogil
cdef fr_index chunk_before(const fr_batch *batch, fr_index row_bytes, fr_index end) noexcept nogil
cdef void point_at_chunk(Backward *b, fr_index first, fr_index end) noexcept nogil
cdef void run_backward(Backward *b, ThreadGroups groups, Call *call) noexcept nogil
cdef void add_weight_gradients(
    const Backward *b, int thread, int threads, Call *call
) noexcept nogil
cdef void input_gradient(const Backward *b, int thread, int threads, Call *call) noexcept nogil
cdef void sum_by_id(const Backward *b, int thread, int threads) noexcept nogil
cdef void through_input(
    const Backward *b, void **dgates, void **last, void **dx, fr_index begin, fr_index end,
    Call *call,
) noexcept nogil
