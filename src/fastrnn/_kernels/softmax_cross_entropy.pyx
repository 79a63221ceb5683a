"""Softmax cross-entropy: the function of its namesake in `fastrnn._reference`, compiled."""

cimport numpy as cnp
import numpy as np
from cython.parallel cimport prange
from libc.string cimport memset

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.matrix cimport Matrix, as_matrix
from fastrnn._kernels.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_index, fr_kernels
from fastrnn._kernels.threads cimport threads_for

# Multiply-adds that one logit costs, for the choice of threads.
cdef double WORK_PER_LOGIT = 16


def softmax_cross_entropy(
    logits, cnp.ndarray targets not None, *, ignore_index, bint train, num_threads=None
):
    dlogits = np.empty(logits.shape, logits.dtype) if train else None
    cdef const fr_kernels *k = kernels_for(logits.itemsize)
    cdef Matrix rows = as_matrix(logits), gradients = rows
    cdef fr_index r, counted = 0, row_bytes = rows.columns * k.itemsize
    cdef const cnp.int64_t *target = <const cnp.int64_t *>cnp.PyArray_DATA(targets)
    cdef bint ignoring = ignore_index is not None
    cdef cnp.int64_t ignored = ignore_index if ignoring else 0
    cdef Buffer losses = Buffer(rows.rows, sizeof(double))
    cdef double *loss = <double *>losses.data
    cdef double total = 0, share
    cdef int t, threads = threads_for(
        num_threads, WORK_PER_LOGIT * rows.rows * rows.columns, rows.rows
    )
    cdef unsigned mode
    if train:
        gradients = as_matrix(dlogits)
    for r in range(rows.rows):
        counted += not (ignoring and target[r] == ignored)
    share = 1.0 / max(counted, 1)
    with nogil:
        for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            mode = flush_denormals()
            for r in range(rows.rows * t // threads, rows.rows * (t + 1) // threads):
                if ignoring and target[r] == ignored:
                    loss[r] = 0
                    if train:
                        memset(gradients.data + r * gradients.row_bytes, 0, row_bytes)
                else:
                    loss[r] = k.cross_entropy(
                        rows.data + r * rows.row_bytes, rows.columns, target[r], share,
                        gradients.data + r * gradients.row_bytes if train else NULL,
                    )
            restore_mode(mode)
        for r in range(rows.rows):
            total += loss[r]
    return total * share, dlogits
