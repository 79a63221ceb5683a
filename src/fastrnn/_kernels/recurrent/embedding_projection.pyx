"""Inputs that are rows of an embedding: products with Wx are made of its rows, not of each input.

A text has a few dozen letters and thousands of places for them. Forward, each place copies what its
letter's row gives. Backward, the dgates of all places that have the same letter are summed, and
only the sums are multiplied by the embedding and Wx.
"""

cimport numpy as cnp

from fastrnn._kernels.linalg.matrix cimport (
    Matrix, as_matrix, reserve_pointers, row_pointers, run_product
)
from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_columns
from fastrnn._kernels.pointwise.row_sums cimport close_blocks
from fastrnn._kernels.recurrent.backward cimport (
    Backward, GradientPart, add_weight_gradients, gradient_part, input_gradient, point_at_chunk
)
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.recurrent.forward cimport input_product
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.runtime.threads cimport run_parallel
from fastrnn._kernels.simd cimport fr_batch, fr_index, fr_kernels, fr_layout, fr_product

cnp.import_array()


cdef bint worth_projecting(fr_index rows, fr_index inputs) noexcept:
    """Whether to project an embedding of so many rows, and not so many inputs taken from it."""
    return 0 < 2 * rows <= inputs


cdef Buffer project_embedding(
    const fr_kernels *k, Weights weights, Buffer wx, object embedding, object num_threads
):
    """bias + E Wx, whose columns lie as those of packed weights; `wx` is Wx packed."""
    cdef list owner = []
    cdef Matrix E = as_matrix(embedding)
    cdef fr_layout layout = weights.layout_x
    cdef fr_index columns = packed_columns(k, &layout)
    cdef Buffer projected = Buffer(E.rows * columns, k.itemsize)
    cdef Matrix P = Matrix(<char *>projected.data, E.rows, columns, columns * k.itemsize)
    cdef fr_product product = input_product(
        k, E.columns, wx.data, weights.bias.data, &layout, row_pointers(owner, E),
        row_pointers(owner, P),
    )
    run_product(k, &product, E.rows, num_threads)
    return projected


cdef int embedding_gradients(
    const Backward *b, const void *wx_t, object embedding, object dembedding, object dWx,
    object num_threads,
) except -1:
    """dWx = E^T sums and dE = sums Wx^T: one more chunk, whose rows are those of the embedding."""
    cdef cnp.ndarray E = embedding
    cdef fr_index V = E.shape[0], D = E.shape[1], panel
    cdef fr_index[2] offsets = [0, V]
    cdef fr_layout by_vector = gate_layout(b.kernels, D, 1)
    cdef Buffer operand = packed(b.kernels, E, &by_vector, num_threads)
    cdef list owner = []
    cdef Backward chunk = b[0]
    cdef GradientPart part
    cdef double work = <double>V * D * packed_columns(b.kernels, &b.layout_x)
    chunk.m.cell.batch = fr_batch(rows=V, steps=1, batch_sizes=&V, offset=&offsets[0])
    chunk.m.cell.input = D
    for panel in range(b.layout_x.panels):
        close_blocks(b.kernels, &b.sums, panel)
    chunk.m.dgates, chunk.m.operand, chunk.wx_t = b.sums.sums, operand.data, wx_t
    chunk.dx.row, chunk.dx.step = row_pointers(owner, as_matrix(dembedding)), 0
    part = gradient_part(0, D, 0, &chunk.layout_x, dWx)
    chunk.part_count, chunk.parts = 1, &part
    chunk.operands = reserve_pointers(owner, D)
    chunk.results = row_pointers(owner, as_matrix(dWx))
    chunk.chunk_rows = reserve_pointers(owner, 3 * V)
    point_at_chunk(&chunk, 0, 1)
    run_parallel(gradients_share, &chunk, num_threads, 2 * work, V)


cdef void gradients_share(void *chunk, int t, Call *call) noexcept nogil:
    add_weight_gradients(<const Backward *>chunk, t, call.threads, call)
    input_gradient(<const Backward *>chunk, t, call.threads, call)
