"""Attention: the functions of `fastrnn._reference.attention`, compiled.

Every score is a dot product or an additive one between projected queries and projected keys; what
follows runs sequence by sequence, a thread taking whole sequences.
"""

import math

cimport numpy as cnp
import numpy as np
from cython.parallel cimport prange
from libc.string cimport memset

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.matrix cimport (
    Matrix, Workspace, item, multiply, packed_bytes, workspace_at, workspace_bytes
)
from fastrnn._kernels.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_additive, fr_index, fr_kernels
from fastrnn._kernels.threads cimport threads_for

from fastrnn._kernels.linear import linear_backward, linear_forward

cnp.import_array()

# Multiply-adds that one tanh of the additive score costs, for the choice of threads.
cdef double WORK_PER_TANH = 16


def attention_forward(
    query, keys, values, weights, *, score, lengths, bint train, num_threads=None
):
    if score == "additive" and lengths is not None:
        keys = _without_padding(keys, lengths)
    q, k = _project(query, keys, weights, score, num_threads)
    alignment = np.empty((*query.shape[:2], keys.shape[1]), query.dtype)
    context = np.empty((*query.shape[:2], values.shape[2]), query.dtype)
    v = weights[2] if score == "additive" else None
    _attend(q, k, v, values, lengths, alignment, context, num_threads)
    if not train:
        return context, alignment, None
    stash = (query, keys, values, weights, score, lengths, q, k, alignment.copy())
    return context, alignment, stash


def attention_backward(dcontext, dalignment, stash, *, num_threads=None):
    query, keys, values, weights, score, lengths, q, k, alignment = stash
    v = weights[2] if score == "additive" else None
    dq, dk, dvalues, dv = _attend_backward(
        dcontext, dalignment, q, k, v, values, lengths, alignment, num_threads
    )
    if score == "dot":
        return dq, dk, dvalues, ()
    if score == "scaled_dot":
        return dq / math.sqrt(keys.shape[2]), dk, dvalues, ()
    dquery, dWq = _linear_backward(dq, query, weights[0], num_threads)
    if score == "general":
        return dquery, dk, dvalues, (dWq,)
    dkeys, dWk = _linear_backward(dk, keys, weights[1], num_threads)
    if lengths is not None:
        dkeys = _without_padding(dkeys, lengths)
    return dquery, dkeys, dvalues, (dWq, dWk, dv)


def _without_padding(keys, lengths):
    return np.where(np.arange(keys.shape[1])[:, None] < lengths[:, None, None], keys, 0)


def _project(query, keys, weights, score, num_threads):
    """Queries and keys between which the score is a dot product or an additive one."""
    if score == "dot":
        return query, keys
    if score == "scaled_dot":
        return query / math.sqrt(keys.shape[2]), keys
    q = _linear(query, weights[0], num_threads)
    return q, _linear(keys, weights[1], num_threads) if score == "additive" else keys


def _linear(x, W, num_threads):
    """x W for x (N, T, D)."""
    flat = linear_forward(x.reshape(-1, x.shape[2]), W, None, num_threads=num_threads)
    return flat.reshape(*x.shape[:2], W.shape[1])


def _linear_backward(dy, x, W, num_threads):
    """Gradients of x and W of `_linear`."""
    dx, dW, _ = linear_backward(
        dy.reshape(-1, dy.shape[2]), x.reshape(-1, x.shape[2]), W, bias=False,
        num_threads=num_threads,
    )
    return dx.reshape(x.shape), dW


cdef double attention_work(object q, object values, object alignment, bint additive):
    """Multiply-adds of the forward."""
    per_score = WORK_PER_TANH if additive else 1
    return <double>alignment.size * (q.shape[2] * per_score + values.shape[2])


cdef fr_additive additive_problem(
    Matrix q, Matrix k, const void *v, fr_index keys, Matrix alignment
) noexcept nogil:
    cdef fr_additive problem
    memset(&problem, 0, sizeof(problem))
    problem.queries, problem.keys = q.rows, keys
    problem.tk, problem.size = alignment.columns, q.columns
    problem.q, problem.k, problem.v = q.data, k.data, v
    problem.alignment = alignment.data
    return problem


cdef Matrix first_rows(Matrix matrix, fr_index rows) noexcept nogil:
    return Matrix(matrix.data, rows, matrix.columns, matrix.row_bytes)


cdef Matrix first_columns(Matrix matrix, fr_index columns) noexcept nogil:
    return Matrix(matrix.data, matrix.rows, columns, matrix.row_bytes)


cdef void clear_rows(const fr_kernels *kernels, Matrix matrix, fr_index first) noexcept nogil:
    """Zero the rows from `first` on."""
    cdef fr_index r
    for r in range(first, matrix.rows):
        memset(matrix.data + r * matrix.row_bytes, 0, matrix.columns * kernels.itemsize)


cdef void attend(
    const fr_kernels *kernels, Workspace work, Matrix q, Matrix k, const void *v, Matrix values,
    fr_index keys, Matrix alignment, Matrix context,
) noexcept nogil:
    """One sequence: alignment = softmax(score(q, k)), context = alignment values."""
    cdef fr_additive problem
    cdef fr_index i
    cdef char *row
    if v == NULL:
        multiply(kernels, work, q, False, first_rows(k, keys), True,
                 first_columns(alignment, keys))
    else:
        problem = additive_problem(q, k, v, keys, alignment)
        kernels.additive_scores(&problem)
    for i in range(alignment.rows):
        row = alignment.data + i * alignment.row_bytes
        kernels.softmax(row, keys)
        memset(row + keys * kernels.itemsize, 0, (alignment.columns - keys) * kernels.itemsize)
    multiply(kernels, work, first_columns(alignment, keys), False, first_rows(values, keys), False,
             context)


cdef void attend_backward(
    const fr_kernels *kernels, Workspace work, Matrix dcontext, Matrix dalignment, Matrix q,
    Matrix k, const void *v, Matrix values, fr_index keys, Matrix alignment, Matrix dscore,
    Matrix dq, Matrix dk, Matrix dvalues, void *dv,
) noexcept nogil:
    """One sequence; `dscore` is scratch of the alignment's shape."""
    cdef fr_additive problem
    cdef fr_index i
    cdef Matrix own = first_columns(alignment, keys), dscore_own = first_columns(dscore, keys)
    # context = alignment values
    multiply(kernels, work, own, True, dcontext, False, first_rows(dvalues, keys))
    clear_rows(kernels, dvalues, keys)
    multiply(kernels, work, dcontext, False, first_rows(values, keys), True, dscore_own)
    for i in range(alignment.rows):
        if dalignment.data:
            kernels.add_rows(dscore.data + i * dscore.row_bytes,
                             dalignment.data + i * dalignment.row_bytes, keys)
        # alignment = softmax(score)
        kernels.softmax_backward(dscore.data + i * dscore.row_bytes,
                                 alignment.data + i * alignment.row_bytes, keys)
    if v == NULL:
        # score = q k^T
        multiply(kernels, work, dscore_own, False, first_rows(k, keys), False, dq)
        multiply(kernels, work, dscore_own, True, q, False, first_rows(dk, keys))
        clear_rows(kernels, dk, keys)
        return
    clear_rows(kernels, dk, 0)
    problem = additive_problem(q, k, v, keys, alignment)
    problem.dscore = dscore.data
    problem.dq, problem.dk, problem.dv = dq.data, dk.data, dv
    kernels.additive_backward(&problem)


cdef fr_index largest_side(object q, object values, object alignment):
    """No matrix of a sequence is larger than this either way."""
    return max(*q.shape[1:], *values.shape[1:], *alignment.shape[1:], 1)


cdef fr_index largest_operand(
    const fr_kernels *kernels, object q, object k, object values
):
    """Bytes of the largest matrix that a product of `attend` or `attend_backward` packs."""
    cdef fr_index Tq = q.shape[1], Tk = k.shape[1], D = k.shape[2], Dv = values.shape[2]
    return max(
        packed_bytes(kernels, Tk, D), packed_bytes(kernels, Tk, Dv),
        packed_bytes(kernels, Tq, D), packed_bytes(kernels, Tq, Dv),
    )


cdef const fr_index *key_counts(object lengths) noexcept:
    if lengths is None:
        return NULL
    return <const fr_index *>cnp.PyArray_DATA(lengths)


def _attend(q, k, v, values, lengths, alignment, context, num_threads):
    """Attend in every sequence."""
    cdef const fr_kernels *kernels = kernels_for(q.itemsize)
    cdef const void *weights = NULL if v is None else cnp.PyArray_DATA(v)
    cdef fr_index n, N = q.shape[0], Tk = k.shape[1], largest = largest_side(q, values, alignment)
    cdef fr_index bytes_each = workspace_bytes(largest, largest_operand(kernels, q, k, values))
    cdef int t, threads = threads_for(
        num_threads, attention_work(q, values, alignment, v is not None), N
    )
    cdef Buffer memory = Buffer(threads, bytes_each)
    cdef const fr_index *counts = key_counts(lengths)
    cdef unsigned mode
    cdef cnp.ndarray Q = q, K = k, V = values, A = alignment, C = context
    with nogil:
        for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            mode = flush_denormals()
            for n in range(N * t // threads, N * (t + 1) // threads):
                attend(
                    kernels, workspace_at(<char *>memory.data + t * bytes_each, largest),
                    item(Q, n), item(K, n), weights, item(V, n), counts[n] if counts else Tk,
                    item(A, n), item(C, n),
                )
            restore_mode(mode)


def _attend_backward(
    dcontext, dalignment, q, k, v, values, lengths, alignment, num_threads
):
    """Gradients of q, k, values and, for the additive score, v."""
    cdef const fr_kernels *kernels = kernels_for(q.itemsize)
    cdef const void *weights = NULL if v is None else cnp.PyArray_DATA(v)
    cdef fr_index n, N = q.shape[0], Tk = k.shape[1], largest = largest_side(q, values, alignment)
    cdef fr_index bytes_each = workspace_bytes(largest, largest_operand(kernels, q, k, values))
    cdef int t, threads = threads_for(
        num_threads, 3 * attention_work(q, values, alignment, v is not None), N
    )
    cdef Buffer memory = Buffer(threads, bytes_each)
    cdef const fr_index *counts = key_counts(lengths)
    cdef unsigned mode
    cdef bint has_dalignment = dalignment is not None
    cdef cnp.ndarray dC = dcontext, Q = q, K = k, V = values, A = alignment
    cdef cnp.ndarray dA = dalignment if has_dalignment else alignment
    cdef cnp.ndarray dS = np.empty_like(alignment), dQ = np.empty(q.shape, q.dtype)
    cdef cnp.ndarray dK = np.empty(k.shape, k.dtype), dV = np.empty(values.shape, values.dtype)
    cdef cnp.ndarray dv = np.empty((N, 0 if v is None else v.shape[0]), q.dtype)
    cdef Matrix no_matrix = Matrix(NULL, 0, 0, 0)
    with nogil:
        for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            mode = flush_denormals()
            for n in range(N * t // threads, N * (t + 1) // threads):
                attend_backward(
                    kernels, workspace_at(<char *>memory.data + t * bytes_each, largest),
                    item(dC, n), item(dA, n) if has_dalignment else no_matrix, item(Q, n),
                    item(K, n), weights, item(V, n), counts[n] if counts else Tk, item(A, n),
                    item(dS, n), item(dQ, n), item(dK, n), item(dV, n),
                    cnp.PyArray_BYTES(dv) + n * dv.strides[0],
                )
            restore_mode(mode)
    return dQ, dK, dV, dv.sum(axis=0)
