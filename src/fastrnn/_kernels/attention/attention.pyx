"""Attention: the functions of `fastrnn._reference.attention`, compiled.

Every score is a dot product, scaled or not, or an additive one between projected queries and
projected keys; what follows runs sequence by sequence, a thread taking whole sequences. Where there
are several heads, each is a problem of its own between some columns of what was projected.
"""

cimport numpy as cnp
import numpy as np
from libc.math cimport sqrt
from libc.string cimport memset

from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.linalg.packing cimport plain_layout
from fastrnn._kernels.linalg.matrix cimport (
    Matrix, Workspace, item, packed_bytes, plain_product, point_columns, point_rows, workspace_at,
    workspace_bytes,
)
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.simd cimport fr_additive, fr_index, fr_kernels, fr_layout, fr_product
from fastrnn._kernels.runtime.threads cimport fr_work, parallel_for, threads_for

from fastrnn._kernels.linalg.linear import linear_backward, linear_forward

cnp.import_array()

# Multiply-adds that one tanh of the additive score costs, for the choice of threads.
cdef double WORK_PER_TANH = 16


def attention_forward(
    query, keys, values, weights, *, score, lengths, bint train, heads=1, num_threads=None
):
    q = _linear(query, weights[0], num_threads) if weights else query
    keys, values, k, v = project_memory(keys, values, weights, score, lengths, num_threads)
    N, Tq, Tk = query.shape[0], query.shape[1], keys.shape[1]
    attention, context = empty((N, Tq, Tk), q.dtype), empty((N, Tq, v.shape[2]), q.dtype)
    each = empty((N * heads, Tq, Tk), q.dtype) if heads > 1 else attention
    _attend(
        score, heads, q, k, weights, v, lengths, each, attention if heads > 1 else None, context,
        num_threads,
    )
    joined = None
    if score == "multi_head":
        joined = context  # the heads', side by side
        context = _linear(joined, weights[3], num_threads)
    if not train:
        return context, attention, None
    kept = each if heads > 1 else attention.copy()
    referred = [(array, array.shape) for array in (query, keys, values, *weights)]
    stash = (query, keys, values, weights, score, lengths, heads, q, k, v, kept, joined)
    return context, attention, (referred, *stash)


def attention_backward(dcontext, dattention, stash, *, bint shared=False, num_threads=None):
    referred, *stash = stash
    refuse_reshaped(referred, "query, keys, values and weights")
    query, keys, values, weights, score, lengths, heads, q, k, v, attention, joined = stash
    last = ()
    if score == "multi_head":  # context = joined Wo
        dcontext, dWo = _linear_backward(dcontext, joined, weights[3], num_threads)
        last = (dWo,)
    if dattention is not None and heads > 1:  # attention = mean of the heads'
        dattention = dattention / heads
    as_one = shared and k is keys
    dq, dk, dv, dscore = _attend_backward(
        score, heads, dcontext, dattention, q, k, weights, v, lengths, attention, as_one,
        num_threads,
    )
    dkeys, dvalues, dweights = project_memory_backward(
        dk, dv, keys, values, weights, score, lengths, num_threads
    )
    if as_one:
        dvalues = None
    elif shared:
        dkeys, dvalues = np.add(dkeys, dvalues, out=dkeys), None
    if not weights:
        return dq, dkeys, dvalues, ()
    dquery, dWq = _linear_backward(dq, query, weights[0], num_threads)  # q = query Wq
    if score == "additive":
        last = (dscore,)
    return dquery, dkeys, dvalues, (dWq, *dweights, *last)


cdef int refuse_reshaped(list referred, str names) except -1:
    """Refuse a backward after somebody has reshaped, in place, what its tape refers to."""
    for array, shape in referred:
        if array.shape != shape:
            raise ValueError(
                f"backward: {names} must have the shapes that forward found, got {array.shape} for "
                f"{shape}"
            )


cdef tuple project_memory(
    object keys, object values, object weights, object score, object lengths, object num_threads
):
    """Keys and values, and their projections.

    Where weights come between, the former are without padding, so that it reaches no gradient.
    """
    if score not in ("additive", "multi_head"):
        return keys, values, keys, values
    if lengths is not None:
        keys = _without_padding(keys, lengths)
    k = _linear(keys, weights[1], num_threads)
    if score == "additive":
        return keys, values, k, values
    if lengths is not None:
        values = _without_padding(values, lengths)
    return keys, values, k, _linear(values, weights[2], num_threads)


cdef tuple project_memory_backward(
    object dk, object dv, object keys, object values, object weights, object score, object lengths,
    object num_threads,
):
    """Gradients of keys, of values, and of the weights that `meet_memory` used."""
    if score not in ("additive", "multi_head"):
        return dk, dv, ()
    dkeys, dWk = _linear_backward(dk, keys, weights[1], num_threads)  # k = keys Wk
    if lengths is not None:
        dkeys = _without_padding(dkeys, lengths)
    if score == "additive":
        return dkeys, dv, (dWk,)
    dvalues, dWv = _linear_backward(dv, values, weights[2], num_threads)  # v = values Wv
    if lengths is not None:
        dvalues = _without_padding(dvalues, lengths)
    return dkeys, dvalues, (dWk, dWv)


def _without_padding(keys, lengths):
    return np.where(np.arange(keys.shape[1])[:, None] < lengths[:, None, None], keys, 0)


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


cdef double attention_work(const AttentionJob *m) noexcept:
    """Multiply-adds of the forward."""
    cdef fr_index heads = m.sequences * m.heads
    cdef double per_score = WORK_PER_TANH if m.v else 1
    if heads == 0:
        return 0
    return <double>heads * m.queries * m.k[0].rows * (
        m.q[0].columns * per_score + m.values[0].columns
    )


cdef Matrix first_rows(Matrix matrix, fr_index rows) noexcept nogil:
    return Matrix(matrix.data, rows, matrix.columns, matrix.row_bytes)


cdef Matrix first_columns(Matrix matrix, fr_index columns) noexcept nogil:
    return Matrix(matrix.data, matrix.rows, columns, matrix.row_bytes)


cdef void clear_rows(const fr_kernels *kernels, Matrix matrix, fr_index first) noexcept nogil:
    """Zero the rows from `first` on."""
    cdef fr_index r
    for r in range(first, matrix.rows):
        memset(matrix.data + r * matrix.row_bytes, 0, matrix.columns * kernels.itemsize)


cdef void scale_numbers(
    const fr_kernels *kernels, void *row, fr_index count, double factor
) noexcept nogil:
    if factor != 1:
        kernels.scale(row, count, factor)


cdef void row_products(const fr_kernels *k, Matrix a, Matrix b, Matrix c) noexcept nogil:
    """c = a b^T."""
    k.row_products(
        c.data, c.row_bytes // k.itemsize, a.data, a.rows, a.row_bytes // k.itemsize,
        b.data, b.rows, b.row_bytes // k.itemsize, b.columns,
    )


cdef void small_product(
    const fr_kernels *k, Workspace work, Matrix a, bint a_transposed, Matrix b, Matrix c,
    bint accumulate=False,
) noexcept nogil:
    """c = a b, or c += a b; b is packed only where its rows are not whole vectors."""
    cdef fr_layout layout
    cdef fr_index row_step = b.row_bytes // k.itemsize
    if a_transposed:
        point_columns(work.rows, a, k.itemsize)
    else:
        point_rows(work.rows, a)
    point_rows(work.results, c)
    cdef fr_product p = plain_product(
        k, work.rows, a.row_bytes // k.itemsize if a_transposed else 1, b.rows, b.data, b.rows,
        work.results, c.columns,
    )
    p.accumulate = accumulate
    if b.columns % k.lanes or row_step % k.lanes:
        layout = plain_layout(k, b.columns)
        k.pack_nn(work.operand, b.data, b.rows, row_step, &layout)
        p.b = work.operand
    else:
        p.b_step, p.b_panel = row_step // k.lanes, 4 * k.lanes
    k.product(&p, 0, c.rows)


cdef fr_additive additive_problem(const AttentionJob *m, fr_index n, fr_index keys) noexcept nogil:
    cdef fr_additive problem
    memset(&problem, 0, sizeof(problem))
    problem.queries, problem.keys = m.q[n].rows, keys
    problem.tk, problem.size = m.attention[n].columns, m.q[n].columns
    problem.q, problem.k, problem.v = m.q[n].data, m.k[n].data, m.v
    problem.score = m.attention[n].data
    return problem


cdef void attend(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work
) noexcept nogil:
    """attention = softmax(score(q, k)), context = attention values, in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix attention = m.attention[n], own = first_columns(attention, keys)
    cdef fr_additive problem
    cdef fr_index i
    cdef char *row
    if m.v == NULL:
        row_products(kernels, m.q[n], first_rows(m.k[n], keys), own)
    else:
        problem = additive_problem(m, n, keys)
        kernels.additive_scores(&problem)
    for i in range(attention.rows):
        row = attention.data + i * attention.row_bytes
        scale_numbers(kernels, row, keys, m.scale)
        kernels.softmax(row, keys)
        memset(row + keys * kernels.itemsize, 0, (attention.columns - keys) * kernels.itemsize)
    small_product(kernels, work, own, False, first_rows(m.values[n], keys), m.context[n])


cdef void attend_backward(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work
) noexcept nogil:
    """Gradients of q, k, values and, for the additive score, v in head n."""
    score_gradient(m, n, keys)
    if m.v:
        clear_rows(m.kernels, m.dk[n], 0)
    query_gradient(m, n, keys, work)
    memory_gradient(m, n, keys, work)


cdef void score_gradient(const AttentionJob *m, fr_index n, fr_index keys) noexcept nogil:
    """Gradient of the scores in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix attention = first_columns(m.attention[n], keys)
    cdef Matrix dscore = first_columns(m.dscore[n], keys), dattention
    cdef fr_index i
    cdef char *row
    # context = attention values
    row_products(kernels, m.dcontext[n], first_rows(m.values[n], keys), dscore)
    for i in range(attention.rows):
        row = dscore.data + i * dscore.row_bytes
        if m.dattention:
            dattention = m.dattention[n // m.heads]
            kernels.add_rows(row, dattention.data + i * dattention.row_bytes, keys)
        # attention = softmax(score)
        kernels.softmax_backward(row, attention.data + i * attention.row_bytes, keys)
        scale_numbers(kernels, row, keys, m.scale)


cdef void query_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work
) noexcept nogil:
    """Gradient of q in head n; with the additive score also of v, and what adds to that of k."""
    cdef Matrix dscore = first_columns(m.dscore[n], keys)
    cdef fr_additive problem
    if m.v == NULL:
        # score = scale q k^T
        small_product(m.kernels, work, dscore, False, first_rows(m.k[n], keys), m.dq[n])
        return
    problem = additive_problem(m, n, keys)
    problem.dscore = dscore.data
    problem.dq, problem.dk, problem.dv = m.dq[n].data, m.dk[n].data, m.dv[n].data
    m.kernels.additive_backward(&problem)


cdef void memory_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work
) noexcept nogil:
    """Gradients of values and, unless the score is additive, of k in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix attention = first_columns(m.attention[n], keys)
    cdef Matrix dscore = first_columns(m.dscore[n], keys)
    # context = attention values
    small_product(kernels, work, attention, True, m.dcontext[n], first_rows(m.dvalues[n], keys))
    clear_rows(kernels, m.dvalues[n], keys)
    if m.v:
        return
    # score = scale q k^T
    small_product(kernels, work, dscore, True, m.q[n], first_rows(m.dk[n], keys), m.shared)
    if not m.shared:
        clear_rows(kernels, m.dk[n], keys)


cdef void average_heads(const AttentionJob *m, fr_index n) noexcept nogil:
    """mean = that of the heads' attention, in sequence n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix mean = m.mean[n], attention
    cdef fr_index head, i
    clear_rows(kernels, mean, 0)
    for head in range(n * m.heads, (n + 1) * m.heads):
        attention = m.attention[head]
        for i in range(mean.rows):
            kernels.add_rows(
                mean.data + i * mean.row_bytes, attention.data + i * attention.row_bytes,
                mean.columns,
            )
    for i in range(mean.rows):
        scale_numbers(kernels, mean.data + i * mean.row_bytes, mean.columns, 1.0 / m.heads)


cdef fr_index keys_of(const AttentionJob *m, fr_index n) noexcept nogil:
    """The number of keys of sequence n."""
    return m.lengths[n] if m.lengths else m.k[n * m.heads].rows


cdef void attention_share(void *job, int t, int threads) noexcept nogil:
    """A thread's sequences, forward or backward."""
    cdef const AttentionJob *m = <const AttentionJob *>job
    cdef Workspace work = workspace_at(m.memory + t * m.thread_bytes, m.largest_side)
    cdef fr_index n, head, keys
    for n in range(m.sequences * t // threads, m.sequences * (t + 1) // threads):
        keys = keys_of(m, n)
        for head in range(n * m.heads, (n + 1) * m.heads):
            if m.dcontext:
                attend_backward(m, head, keys, work)
            else:
                attend(m, head, keys, work)
        if m.mean:
            average_heads(m, n)


cdef void memory_share(void *job, int t, int threads) noexcept nogil:
    """The gradients of a thread's keys and values, once those of scores and context are known."""
    cdef const AttentionJob *m = <const AttentionJob *>job
    cdef Workspace work = workspace_at(m.memory + t * m.thread_bytes, m.largest_side)
    cdef fr_index n, head
    for n in range(m.sequences * t // threads, m.sequences * (t + 1) // threads):
        for head in range(n * m.heads, (n + 1) * m.heads):
            memory_gradient(m, head, keys_of(m, n), work)


cdef Matrix *matrices(list owner, cnp.ndarray array, fr_index heads=1) except NULL:
    """The matrices of a 3-D array, each cut into the columns of its heads.

    They and the array live as long as `owner`.
    """
    cdef Buffer buffer = Buffer(array.shape[0] * heads, sizeof(Matrix))
    cdef Matrix *each = <Matrix *>buffer.data
    cdef Matrix whole
    cdef fr_index n, head, columns = array.shape[2] // heads
    cdef fr_index itemsize = cnp.PyArray_ITEMSIZE(array)
    for n in range(array.shape[0]):
        whole = item(array, n)
        for head in range(heads):
            each[n * heads + head] = Matrix(
                whole.data + head * columns * itemsize, whole.rows, columns, whole.row_bytes
            )
    owner += (array, buffer)
    return each


cdef AttentionJob memory_job(list owner, score, fr_index heads, k, weights, values, lengths):
    """What every attention to this memory takes, whatever asks."""
    cdef AttentionJob job
    memset(&job, 0, sizeof(job))
    job.kernels = kernels_for(k.itemsize)
    job.sequences, job.heads = k.shape[0], heads
    job.lengths = NULL if lengths is None else <cnp.int64_t *>cnp.PyArray_DATA(lengths)
    job.v = cnp.PyArray_BYTES(weights[2]) if score == "additive" else NULL
    job.scale = 1 / sqrt(k.shape[2] // heads) if score in ("scaled_dot", "multi_head") else 1
    job.k, job.values = matrices(owner, k, heads), matrices(owner, values, heads)
    return job


cdef AttentionJob new_job(
    list owner, score, fr_index heads, q, k, weights, values, lengths, attention
):
    """What both passes take."""
    cdef AttentionJob job = memory_job(owner, score, heads, k, weights, values, lengths)
    job.q, job.attention = matrices(owner, q, heads), matrices(owner, attention)
    job.queries = q.shape[1]
    return job


cdef int run(AttentionJob *job, fr_work *share, double work, object num_threads) except -1:
    """Give each thread its workspace, and all of them the sequences."""
    cdef int threads = threads_for(num_threads, work, job.sequences)
    cdef Buffer memory
    if job.sequences == 0:
        return 0
    memory = give_workspace(job, threads, 1)
    with nogil:
        parallel_for(share, job, threads)


cdef Buffer give_workspace(AttentionJob *job, int threads, fr_index least_side):
    """Memory for the products of each thread, of which no side is longer, none packs more."""
    cdef Matrix q = job.q[0], k = job.k[0], values = job.values[0]
    job.largest_side = max(least_side, job.queries, q.columns, k.rows, values.columns)
    job.thread_bytes = workspace_bytes(job.largest_side, max(
        packed_bytes(job.kernels, k.rows, q.columns),
        packed_bytes(job.kernels, k.rows, values.columns),
        packed_bytes(job.kernels, job.queries, q.columns),
        packed_bytes(job.kernels, job.queries, values.columns),
    ))
    cdef Buffer memory = Buffer(threads, job.thread_bytes)
    job.memory = <char *>memory.data
    return memory


def _attend(
    score, fr_index heads, q, k, weights, values, lengths, attention, mean, context, num_threads
):
    """Attend in every head of every sequence."""
    cdef list owner = []
    cdef AttentionJob job = new_job(owner, score, heads, q, k, weights, values, lengths, attention)
    job.context = matrices(owner, context, heads)
    if mean is not None:
        job.mean = matrices(owner, mean)
    run(&job, attention_share, attention_work(&job), num_threads)


def _attend_backward(
    score, fr_index heads, dcontext, dattention, q, k, weights, values, lengths, attention,
    bint shared, num_threads,
):
    """Gradients of q, k, values and, for the additive score, v; if `shared`, dk is dvalues."""
    cdef list owner = []
    cdef AttentionJob job = new_job(owner, score, heads, q, k, weights, values, lengths, attention)
    dq, dvalues = empty(q.shape, q.dtype), empty(values.shape, q.dtype)
    dk = dvalues if shared else empty(k.shape, q.dtype)
    dv = empty((q.shape[0], 1, k.shape[2] if score == "additive" else 0), q.dtype)
    job.dcontext = matrices(owner, dcontext, heads)
    job.dscore = matrices(owner, empty_like(attention))
    job.dq, job.dk = matrices(owner, dq, heads), matrices(owner, dk, heads)
    job.dvalues, job.dv = matrices(owner, dvalues, heads), matrices(owner, dv)
    job.shared = shared
    if dattention is not None:
        job.dattention = matrices(owner, dattention)
    run(&job, attention_share, 3 * attention_work(&job), num_threads)
    return dq, dk, dvalues, dv.sum(axis=(0, 1))
