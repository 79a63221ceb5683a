"""Affine layer: the functions of `fastrnn._reference.linear`, compiled."""

cimport numpy as cnp
import numpy as np
from libc.string cimport memset

from fastrnn._kernels.linalg.matrix cimport (
    Affine, Matrix, affine, affine_transposed, applied, as_matrix, plain_product, point_columns,
    reserve_pointers, row_of, row_pointers, run_product,
)
from fastrnn._kernels.linalg.packing cimport packed_by, plain_layout
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer, empty
from fastrnn._kernels.runtime.threads cimport MOVE_WORK, run_parallel
from fastrnn._kernels.simd cimport FR_SUM_BLOCK, fr_index, fr_kernels, fr_layout, fr_product

cnp.import_array()


cdef struct Sums:
    const fr_kernels *kernels
    Matrix rows
    char *out
    char *block  # of rows, summed by itself


def linear_forward(x, W, b, *, num_threads=None):
    cdef list owner = []
    cdef const fr_kernels *k = kernels_for(x.itemsize)
    cdef Affine map = affine(k, owner, W, b, num_threads)
    return applied(k, &map, x, num_threads)


def linear_backward(dy, x, W, *, bint bias, num_threads=None):
    cdef list owner = []
    cdef const fr_kernels *k = kernels_for(W.itemsize)
    cdef Affine transposed = affine_transposed(k, owner, W, num_threads)
    return (
        applied(k, &transposed, dy, num_threads),
        weight_gradient(x, dy, num_threads),
        column_sums(dy, num_threads) if bias else None,
    )


cdef object weight_gradient(object x, object dy, object num_threads):
    """dW = x^T dy."""
    cdef list owner = []
    dW = empty((x.shape[1], dy.shape[1]), x.dtype)
    cdef Matrix X = as_matrix(x), dY = as_matrix(dy)
    cdef const fr_kernels *k = kernels_for(x.itemsize)
    cdef fr_layout layout = plain_layout(k, dY.columns)
    cdef Buffer upstream = packed_by(
        k, k.pack_nn, dY.data, dY.rows, dY.row_bytes // k.itemsize, &layout, num_threads
    )
    cdef void **rows = reserve_pointers(owner, X.columns)
    point_columns(rows, X, k.itemsize)
    cdef fr_product product = plain_product(
        k, rows, X.row_bytes // k.itemsize, X.rows, upstream.data, X.rows,
        row_pointers(owner, as_matrix(dW)), dY.columns,
    )
    run_product(k, &product, X.columns, num_threads)
    return dW


cdef object column_sums(object dy, object num_threads):
    """db = sum of the rows of dy."""
    cdef cnp.ndarray db = np.zeros(dy.shape[1], dy.dtype), block = np.empty_like(db)
    cdef Sums job = Sums(
        kernels_for(dy.itemsize), as_matrix(dy), cnp.PyArray_BYTES(db), cnp.PyArray_BYTES(block)
    )
    run_parallel(sum_columns, &job, num_threads, MOVE_WORK * dy.size, dy.shape[1])
    return db


cdef void sum_columns(void *job, int t, Call *call) noexcept nogil:
    """One thread's columns."""
    cdef Sums *m = <Sums *>job
    cdef fr_index begin = m.rows.columns * t // call.threads, skip = begin * m.kernels.itemsize
    cdef fr_index columns = m.rows.columns * (t + 1) // call.threads - begin, first = 0, end, r
    cdef char *block = m.block + skip
    while first < m.rows.rows:
        end = min(first + FR_SUM_BLOCK, m.rows.rows)
        memset(block, 0, columns * m.kernels.itemsize)
        for r in range(first, end):
            m.kernels.add_rows(block, row_of(m.rows, r) + skip, columns)
        m.kernels.add_rows(m.out + skip, block, columns)
        first = end
