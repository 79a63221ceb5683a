"""Embedding: the functions of `fastrnn._reference.embedding`, compiled."""

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._kernels.pointwise.row_sums cimport RowSums, add_row, close_blocks, row_sums
from fastrnn._kernels.runtime.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.runtime.memory cimport empty
from fastrnn._kernels.simd cimport fr_index, fr_kernels

cnp.import_array()


def embedding_forward(cnp.ndarray ids not None, cnp.ndarray W not None):
    cdef const cnp.int64_t *id = <const cnp.int64_t *>cnp.PyArray_DATA(ids)
    cdef cnp.ndarray out = empty((ids.shape[0], W.shape[1]), W.dtype)
    cdef char *rows = cnp.PyArray_BYTES(out)
    cdef const char *table = cnp.PyArray_BYTES(W)
    cdef fr_index i, count = ids.shape[0], size = W.shape[1] * W.itemsize
    with nogil:
        for i in range(count):
            memcpy(rows + i * size, table + id[i] * size, size)
    return out


def embedding_backward(cnp.ndarray dy not None, cnp.ndarray ids not None, num_embeddings):
    cdef list owner = []
    cdef const cnp.int64_t *id = <const cnp.int64_t *>cnp.PyArray_DATA(ids)
    cdef cnp.ndarray dW = empty((num_embeddings, dy.shape[1]), dy.dtype)
    cdef const fr_kernels *k = kernels_for(dy.itemsize)
    cdef const char *rows = cnp.PyArray_BYTES(dy)
    cdef fr_index i, count = ids.shape[0], step = dy.strides[0]
    cdef RowSums sums = row_sums(
        k, owner, cnp.PyArray_DATA(dW), num_embeddings, ids, 1, dy.shape[1]
    )
    cdef unsigned mode
    with nogil:
        memset(sums.sums, 0, sums.count * sums.width * k.itemsize)
        mode = flush_denormals()
        for i in range(count):
            add_row(k, &sums, 0, id[i], rows + i * step)
        close_blocks(k, &sums, 0)
        restore_mode(mode)
    return dW
