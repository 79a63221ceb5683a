"""Affine layer: the functions of `fastrnn._reference.linear`, compiled."""

cimport numpy as cnp
import numpy as np

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.layout cimport packed, packed_columns, packed_transposed, plain_layout
from fastrnn._kernels.matrix cimport (
    Matrix, as_matrix, packed_matrix, plain_product, point_columns, point_rows, row_pointers,
    run_product,
)
from fastrnn._kernels.memory cimport Buffer, empty
from fastrnn._kernels.simd cimport fr_kernels, fr_layout, fr_product

cnp.import_array()


def linear_forward(x, W, b, *, num_threads=None):
    y = empty((x.shape[0], W.shape[1]), x.dtype)
    cdef Matrix X = as_matrix(x), Y = as_matrix(y)
    cdef const fr_kernels *k = kernels_for(x.itemsize)
    cdef fr_layout layout = plain_layout(k, Y.columns)
    cdef Buffer weights = packed(k, W, &layout), bias
    cdef Buffer rows = row_pointers(X.rows), results = row_pointers(X.rows)
    point_rows(<void **>rows.data, X)
    point_rows(<void **>results.data, Y)
    cdef fr_product product = plain_product(
        k, <void **>rows.data, 1, X.columns, weights.data, X.columns, <void **>results.data,
        Y.columns,
    )
    if b is not None:
        bias = packed(k, b, &layout)
        product.bias = bias.data
    run_product(k, &product, X.rows, num_threads)
    return y


def linear_backward(dy, x, W, *, bint bias, num_threads=None):
    return (
        input_gradient(dy, W, num_threads),
        weight_gradient(x, dy, num_threads),
        column_sums(dy) if bias else None,
    )


cdef object input_gradient(object dy, object W, object num_threads):
    """dx = dy W^T."""
    dx = empty((dy.shape[0], W.shape[0]), W.dtype)
    cdef Matrix dY = as_matrix(dy)
    cdef const fr_kernels *k = kernels_for(W.itemsize)
    cdef fr_layout layout = plain_layout(k, dY.columns)
    cdef Buffer weights = packed_transposed(k, W, &layout)
    cdef Buffer rows = row_pointers(dY.rows), results = row_pointers(dY.rows)
    point_rows(<void **>rows.data, dY)
    point_rows(<void **>results.data, as_matrix(dx))
    cdef fr_product product = plain_product(
        k, <void **>rows.data, 1, dY.columns, weights.data, packed_columns(k, &layout),
        <void **>results.data, W.shape[0],
    )
    run_product(k, &product, dY.rows, num_threads)
    return dx


cdef object weight_gradient(object x, object dy, object num_threads):
    """dW = x^T dy."""
    dW = empty((x.shape[1], dy.shape[1]), x.dtype)
    cdef Matrix X = as_matrix(x), dY = as_matrix(dy)
    cdef const fr_kernels *k = kernels_for(x.itemsize)
    cdef fr_layout layout = plain_layout(k, dY.columns)
    cdef Buffer upstream = packed_matrix(k, dY, &layout)
    cdef Buffer rows = row_pointers(X.columns), results = row_pointers(X.columns)
    point_columns(<void **>rows.data, X, k.itemsize)
    point_rows(<void **>results.data, as_matrix(dW))
    cdef fr_product product = plain_product(
        k, <void **>rows.data, X.row_bytes // k.itemsize, X.rows, upstream.data, X.rows,
        <void **>results.data, dY.columns,
    )
    run_product(k, &product, X.columns, num_threads)
    return dW


cdef object column_sums(object dy):
    """db = sum of the rows of dy."""
    cdef Matrix dY = as_matrix(dy)
    cdef const fr_kernels *k = kernels_for(dy.itemsize)
    cdef cnp.ndarray db = np.zeros(dy.shape[1], dy.dtype)
    cdef Py_ssize_t r
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        for r in range(dY.rows):
            k.add_rows(cnp.PyArray_DATA(db), dY.data + r * dY.row_bytes, dY.columns)
        restore_mode(mode)
    return db
