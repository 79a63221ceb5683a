from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups
from fastrnn._kernels.simd cimport fr_cell, fr_index, fr_kernels, fr_layout, fr_product, fr_step

# How x is projected ahead of the loop; not at all where `memory` is NULL.
cdef struct Projection:
    fr_layout layout
    const void *wx
    fr_index chunk_rows    # rows projected at a time, at most
    char *memory           # for each thread: pointers to chunk_rows rows of x and of the result,
    fr_index thread_bytes  # then the result
    const char *projected  # of the embedding, if x holds ids; else NULL
    char *work             # for each thread: scratch memory of a program; NULL where there is none

cdef fr_product input_product(
    const fr_kernels *k, fr_index depth, const void *wx, const void *bias,
    const fr_layout *layout, void **rows, void **results,
) noexcept nogil
cdef void run_forward(
    const fr_kernels *k, fr_step *step, const fr_cell *m, const Projection *projection,
    ThreadGroups groups, Call *call,
) noexcept nogil
