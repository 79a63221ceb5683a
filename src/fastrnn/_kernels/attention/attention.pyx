"""Attention: the functions of `fastrnn._reference.attention`, compiled.

Every score is a dot product, scaled or not, or an additive one between projected queries and
projected keys; what follows runs sequence by sequence, a thread taking whole sequences. Where there
are several heads, each is a problem of its own between some columns of what was projected.
"""

cimport numpy as cnp
import numpy as np
from libc.math cimport sqrt
from libc.string cimport memset

from fastrnn._kernels.linalg.linear cimport column_sums
from fastrnn._kernels.linalg.matrix cimport (
    Matrix, Workspace, multiply, packed_bytes, plain_product, point_columns, point_rows, row_of,
    some_rows, workspace_at, workspace_bytes,
)
from fastrnn._kernels.linalg.packing cimport plain_layout
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.interrupt cimport Call, interrupted, rows_at_once
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.runtime.threads cimport fr_work, run_threads, threads_for
from fastrnn._kernels.simd cimport (
    FR_SUM_BLOCK, fr_additive, fr_index, fr_kernels, fr_layout, fr_product
)

from fastrnn._kernels.linalg.linear import linear_backward, linear_forward

cnp.import_array()

# Multiply-adds that one tanh of the additive score costs, for the choice of threads.
cdef double WORK_PER_TANH = 16
# Queries that are made at once at least: each time keys or values may be packed.
cdef fr_index LEAST_QUERIES = 96


def attention_forward(
    query, keys, values, weights, *, score, lengths, bint train, heads=1, num_threads=None
):
    cdef list owner = []
    q = _linear(query, weights[0], num_threads) if weights else query
    keys, values, k, v = project_memory(keys, values, weights, score, lengths, num_threads)
    N, Tq, Tk = query.shape[0], query.shape[1], keys.shape[1]
    attention, context = empty((N, Tq, Tk), q.dtype), empty((N, Tq, v.shape[2]), q.dtype)
    each = empty((N * heads, Tq, Tk), q.dtype) if heads > 1 else attention
    cdef AttentionJob job = new_job(owner, score, heads, q, k, weights, v, lengths, each)
    job.context = matrices(owner, context, heads)
    if heads > 1:
        job.mean = matrices(owner, attention)
    run(&job, attention_share, attention_work(&job), num_threads)
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
    cdef list owner = []
    referred, *stash = stash
    refuse_reshaped(referred, "query, keys, values and weights")
    query, keys, values, weights, score, lengths, heads, q, k, v, attention, joined = stash
    last = ()
    if score == "multi_head":  # context = joined Wo
        dcontext, dWo = _linear_backward(dcontext, joined, weights[3], num_threads)
        last = (dWo,)
    as_one = shared and k is keys
    dq, dv = empty(q.shape, q.dtype), empty(v.shape, q.dtype)
    dk = dv if as_one else empty(k.shape, q.dtype)
    dscore_v = np.zeros((q.shape[0], 1, k.shape[2] if score == "additive" else 0), q.dtype)
    cdef AttentionJob job = new_job(owner, score, heads, q, k, weights, v, lengths, attention)
    job.dcontext = matrices(owner, dcontext, heads)
    job.dscore = matrices(owner, empty_like(attention))
    job.dq, job.dk = matrices(owner, dq, heads), matrices(owner, dk, heads)
    job.dvalues, job.dv = matrices(owner, dv, heads), matrices(owner, dscore_v)
    job.shared = as_one
    if dattention is not None:  # attention = mean of the heads'
        job.dattention = matrices(owner, dattention / heads if heads > 1 else dattention)
    run(&job, attention_share, 3 * attention_work(&job), num_threads)
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
        last = (column_sums(dscore_v[:, 0], num_threads),)
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
    keys = _without_padding(keys, lengths)
    k = _linear(keys, weights[1], num_threads)
    if score == "additive":
        return keys, values, k, values
    values = _without_padding(values, lengths)
    return keys, values, k, _linear(values, weights[2], num_threads)


cdef tuple project_memory_backward(
    object dk, object dv, object keys, object values, object weights, object score, object lengths,
    object num_threads,
):
    """Gradients of keys, of values, and of the weights that `project_memory` used."""
    if score not in ("additive", "multi_head"):
        return dk, dv, ()
    dkeys, dWk = _linear_backward(dk, keys, weights[1], num_threads)  # k = keys Wk
    dkeys = _without_padding(dkeys, lengths)
    if score == "additive":
        return dkeys, dv, (dWk,)
    dvalues, dWv = _linear_backward(dv, values, weights[2], num_threads)  # v = values Wv
    return dkeys, _without_padding(dvalues, lengths), (dWk, dWv)


def _without_padding(keys, lengths):
    if lengths is None:
        return keys
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
    return heads * m.queries * query_work(m, 0, m.k[0].rows) if heads else 0


cdef double query_work(const AttentionJob *m, fr_index n, fr_index keys) noexcept nogil:
    """Multiply-adds of the forward of one query of head n."""
    cdef double per_score = WORK_PER_TANH if m.v else 1
    return <double>keys * (m.q[n].columns * per_score + m.values[n].columns)


cdef Matrix first_columns(Matrix matrix, fr_index columns) noexcept nogil:
    return Matrix(matrix.data, matrix.rows, columns, matrix.row_bytes)


cdef void clear_rows(const fr_kernels *kernels, Matrix matrix, fr_index first) noexcept nogil:
    """Zero the rows from `first` on."""
    cdef fr_index r
    for r in range(first, matrix.rows):
        memset(row_of(matrix, r), 0, matrix.columns * kernels.itemsize)


cdef void row_products(const fr_kernels *k, Matrix a, Matrix b, Matrix c) noexcept nogil:
    """c = a b^T."""
    k.row_products(
        c.data, c.row_bytes // k.itemsize, a.data, a.rows, a.row_bytes // k.itemsize,
        b.data, b.rows, b.row_bytes // k.itemsize, b.columns,
    )


cdef void small_product(
    const fr_kernels *k, Workspace work, Matrix a, bint a_transposed, Matrix b, Matrix c,
    Call *call, bint accumulate=False,
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
    multiply(k, &p, 0, c.rows, call)


cdef fr_additive additive_problem(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end
) noexcept nogil:
    cdef fr_additive problem
    memset(&problem, 0, sizeof(problem))
    problem.queries, problem.keys = end - first, keys
    problem.tk, problem.size = m.attention[n].columns, m.q[n].columns
    problem.q, problem.k, problem.v = row_of(m.q[n], first), m.k[n].data, m.v
    problem.score = row_of(m.attention[n], first)
    return problem


cdef void attend(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end, Workspace work,
    Call *call,
) noexcept nogil:
    """attention = softmax(score(q, k)), context = attention values, in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix attention = some_rows(m.attention[n], first, end)
    cdef Matrix own = first_columns(attention, keys)
    cdef fr_additive problem
    cdef fr_index i
    cdef char *row
    if m.v == NULL:
        row_products(kernels, some_rows(m.q[n], first, end), some_rows(m.k[n], 0, keys), own)
    else:
        problem = additive_problem(m, n, keys, first, end)
        kernels.additive_scores(&problem)
    for i in range(attention.rows):
        row = row_of(attention, i)
        if m.scale != 1:
            kernels.scale(row, keys, m.scale)
        kernels.softmax(row, keys)
        memset(row + keys * kernels.itemsize, 0, (attention.columns - keys) * kernels.itemsize)
    small_product(
        kernels, work, own, False, some_rows(m.values[n], 0, keys),
        some_rows(m.context[n], first, end), call,
    )


cdef void score_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end
) noexcept nogil:
    """Gradient of the scores in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix dscore = first_columns(some_rows(m.dscore[n], first, end), keys)
    cdef fr_index i
    cdef char *row
    # context = attention values
    row_products(
        kernels, some_rows(m.dcontext[n], first, end), some_rows(m.values[n], 0, keys), dscore
    )
    for i in range(dscore.rows):
        row = row_of(dscore, i)
        if m.dattention:
            kernels.add_rows(row, row_of(m.dattention[n // m.heads], first + i), keys)
        # attention = softmax(score)
        kernels.softmax_backward(row, row_of(m.attention[n], first + i), keys)
        if m.scale != 1:
            kernels.scale(row, keys, m.scale)


cdef void query_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end, Workspace work,
    Call *call,
) noexcept nogil:
    """Gradient of q in head n; with the additive score also what adds to those of v and of k."""
    cdef Matrix dscore = first_columns(some_rows(m.dscore[n], first, end), keys)
    cdef fr_index block_end
    if m.v == NULL:
        # score = scale q k^T
        small_product(
            m.kernels, work, dscore, False, some_rows(m.k[n], 0, keys),
            some_rows(m.dq[n], first, end), call,
        )
        return
    if end - first <= FR_SUM_BLOCK:
        additive_gradient(m, n, keys, first, end, m.dk[n].data)
        return
    while first < end:
        block_end = min(first + FR_SUM_BLOCK, end)
        memset(work.operand, 0, keys * m.dk[n].row_bytes)
        additive_gradient(m, n, keys, first, block_end, work.operand)
        m.kernels.add_rows(m.dk[n].data, work.operand, keys * m.dk[n].columns)
        first = block_end


cdef void additive_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end, char *dk
) noexcept nogil:
    """Gradient of q with the additive score for a block of queries; adds to those of v and of k."""
    cdef fr_additive problem = additive_problem(m, n, keys, first, end)
    problem.dscore = row_of(m.dscore[n], first)
    problem.dq, problem.dk, problem.dv = row_of(m.dq[n], first), dk, m.dv[n].data
    m.kernels.additive_backward(&problem)


cdef void memory_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index end, Workspace work, Call *call
) noexcept nogil:
    """Gradients of values and, unless the score is additive, of k in head n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix attention = first_columns(some_rows(m.attention[n], 0, end), keys)
    cdef Matrix dscore = first_columns(some_rows(m.dscore[n], 0, end), keys)
    # context = attention values
    small_product(
        kernels, work, attention, True, some_rows(m.dcontext[n], 0, end),
        some_rows(m.dvalues[n], 0, keys), call,
    )
    clear_rows(kernels, m.dvalues[n], keys)
    if m.v:
        return
    # score = scale q k^T
    small_product(
        kernels, work, dscore, True, some_rows(m.q[n], 0, end), some_rows(m.dk[n], 0, keys), call,
        m.shared,
    )
    if not m.shared:
        clear_rows(kernels, m.dk[n], keys)


cdef void average_heads(
    const AttentionJob *m, fr_index n, fr_index first, fr_index end
) noexcept nogil:
    """mean = that of the heads' attention, in sequence n."""
    cdef const fr_kernels *kernels = m.kernels
    cdef Matrix mean = some_rows(m.mean[n], first, end)
    cdef fr_index head, i
    clear_rows(kernels, mean, 0)
    for i in range(mean.rows):
        for head in range(n * m.heads, (n + 1) * m.heads):
            kernels.add_rows(row_of(mean, i), row_of(m.attention[head], first + i), mean.columns)
        kernels.scale(row_of(mean, i), mean.columns, 1.0 / m.heads)


cdef fr_index keys_of(const AttentionJob *m, fr_index n) noexcept nogil:
    """The number of keys of sequence n."""
    return m.lengths[n] if m.lengths else m.k[n * m.heads].rows


cdef Workspace workspace_of(const AttentionJob *m, int t) noexcept nogil:
    """Where a thread makes its products."""
    return workspace_at(m.memory + t * m.thread_bytes, m.largest_side)


cdef void attention_share(void *job, int t, Call *call) noexcept nogil:
    """A thread's sequences, forward or backward."""
    cdef const AttentionJob *m = <const AttentionJob *>job
    cdef Workspace work = workspace_of(m, t)
    cdef fr_index n, head, keys
    for n in range(m.sequences * t // call.threads, m.sequences * (t + 1) // call.threads):
        keys = keys_of(m, n)
        for head in range(n * m.heads, (n + 1) * m.heads):
            if not m.dcontext:
                attend_all(m, head, keys, work, call)
            else:
                attend_all_backward(m, head, keys, work, call)
        if interrupted(call, 0):
            return
        if m.mean:
            average_heads(m, n, 0, m.queries)


cdef void attend_all(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work, Call *call
) noexcept nogil:
    """All queries of head n, some at a time."""
    cdef double each = query_work(m, n, keys)
    cdef fr_index some = rows_at_once(m.queries, each, m.kernels.lanes, LEAST_QUERIES), first = 0
    while first < m.queries and not interrupted(call, some * each):
        attend(m, n, keys, first, min(first + some, m.queries), work, call)
        first += some


cdef void attend_all_backward(
    const AttentionJob *m, fr_index n, fr_index keys, Workspace work, Call *call
) noexcept nogil:
    """All gradients of head n; those of the additive score at once, as v's is one sum."""
    cdef double each = query_work(m, n, keys)
    cdef fr_index some = rows_at_once(m.queries, each, m.kernels.lanes, LEAST_QUERIES), first = 0
    if m.v:
        clear_rows(m.kernels, m.dk[n], 0)
        some = m.queries
    while first < m.queries and not interrupted(call, some * each):
        score_gradient(m, n, keys, first, min(first + some, m.queries))
        query_gradient(m, n, keys, first, min(first + some, m.queries), work, call)
        first += some
    memory_gradient(m, n, keys, m.queries, work, call)


cdef void memory_share(void *job, int t, Call *call) noexcept nogil:
    """The gradients of a thread's keys and values, once those of scores and context are known."""
    cdef const AttentionJob *m = <const AttentionJob *>job
    cdef Workspace work = workspace_of(m, t)
    cdef fr_index n, head
    for n in range(m.sequences * t // call.threads, m.sequences * (t + 1) // call.threads):
        for head in range(n * m.heads, (n + 1) * m.heads):
            memory_gradient(
                m, head, keys_of(m, n), m.steps[n] if m.steps else m.queries, work, call
            )


cdef Matrix *matrices(list owner, cnp.ndarray array, fr_index heads=1) except NULL:
    """The matrices of a 3-D array, each cut into the columns of its heads.

    They and the array live as long as `owner`.
    """
    cdef Buffer buffer = Buffer(array.shape[0] * heads, sizeof(Matrix))
    cdef Matrix *each = <Matrix *>buffer.data
    cdef fr_index n, head, columns = array.shape[2] // heads
    for n in range(array.shape[0]):
        for head in range(heads):
            each[n * heads + head] = Matrix(
                cnp.PyArray_BYTES(array) + n * array.strides[0]
                + head * columns * cnp.PyArray_ITEMSIZE(array),
                array.shape[1], columns, array.strides[1],
            )
    owner += (array, buffer)
    return each


cdef AttentionJob memory_job(list owner, score, fr_index heads, k, weights, values, lengths):
    """What every attention to this memory takes, whatever asks."""
    cdef AttentionJob job
    memset(&job, 0, sizeof(job))
    job.kernels = kernels_for(k.itemsize)
    job.sequences, job.heads = k.shape[0], heads
    if lengths is not None:
        job.lengths = <const cnp.int64_t *>cnp.PyArray_DATA(lengths)
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
    cdef list owner = []
    cdef int threads = threads_for(num_threads, work, job.sequences)
    if job.sequences == 0:
        return 0
    give_workspace(job, owner, threads)
    run_threads(share, job, threads)


cdef int give_workspace(AttentionJob *job, list owner, int threads) except -1:
    """Memory for the products of each thread, of which no side is longer, none packs more.

    A decoder needs three pointers for each sequence of a thread: see `step_input_gradient`.
    """
    cdef Matrix q = job.q[0], k = job.k[0], values = job.values[0]
    cdef fr_index own = (job.sequences + threads - 1) // threads
    job.largest_side = max(2 * own, job.queries, q.columns, k.rows, values.columns)
    job.thread_bytes = workspace_bytes(job.largest_side, max(
        packed_bytes(job.kernels, k.rows, q.columns),
        packed_bytes(job.kernels, k.rows, values.columns),
        packed_bytes(job.kernels, job.queries, q.columns),
        packed_bytes(job.kernels, job.queries, values.columns),
    ))
    cdef Buffer memory = Buffer(threads, job.thread_bytes)
    owner.append(memory)
    job.memory = <char *>memory.data
