"""The time loop of a decoder whose recurrence contains its attention, in both directions.

    in each thread, for its rows (sequences) of the batch:
        for each step:
            with input feeding:                     with the context as an input:
                x = [x, features before]                c = attention to h before
                h = a step of every layer               x = [x, c]
                c = attention to h                      h = a step of every layer
            features = [c; h], or tanh of their readout

The backward runs the same lines from the last to the first, in the chunks of `backward.pyx`; the
weight gradients of a chunk come after its steps. No thread waits for another during the steps.
Rows come in the order of the layers' batch, by falling number of steps; arrays lie in the caller's
order. The cells run as they do in a plain recurrent layer.
"""

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._kernels.attention.attention cimport (
    AttentionJob, attend, average_heads, keys_of, query_gradient, score_gradient, workspace_of
)
from fastrnn._kernels.linalg.matrix cimport Affine, Matrix, Workspace, apply_pointed
from fastrnn._kernels.recurrent.backward cimport (
    Backward, add_weight_gradients, chunk_before, point_at_chunk, sum_by_id, through_input
)
from fastrnn._kernels.recurrent.prepacked cimport adds_inputs
from fastrnn._kernels.runtime.interrupt cimport Call, interrupted
from fastrnn._kernels.runtime.thread_groups cimport in_share, part_of, rows_of, rows_of_part
from fastrnn._kernels.runtime.threads cimport parallel_for
from fastrnn._kernels.simd cimport (
    FR_SUM_BLOCK, fr_cell, fr_index, fr_kernels, fr_rows, fr_share
)

# The rows of one thread that have some step, in the order of the batch.
cdef struct OwnRows:
    const fr_index *order  # the sequence of each row
    fr_share share
    fr_index count

# What the rows of a thread have of something, the row of a sequence at data + sequence * row_bytes.
cdef struct Lines:
    char *data
    fr_index columns
    fr_index row_bytes
    OwnRows rows


cdef OwnRows rows_at(const Loop *d, int t, int threads, fr_index s) noexcept nogil:
    cdef fr_share share = rows_of(&d.batch, t, threads)
    share.end = d.cells[0].vectors
    if d.work:
        share.work = d.work + t * d.kernels.program_work
    return OwnRows(d.order, share, in_share(&d.batch, share, s))


cdef OwnRows some_of(OwnRows own, fr_index first, fr_index end) noexcept nogil:
    """Of a thread's rows of a step, those from `first` to before `end`, as far as there are."""
    end = min(end, own.count)
    return OwnRows(own.order, part_of(own.share, first, end), end - first)


cdef inline fr_index sequence(OwnRows own, fr_index i) noexcept nogil:
    """The sequence of row i of a thread."""
    return own.order[own.share.first + i * own.share.stride]


cdef Lines at(Plane plane, OwnRows own, fr_index s) noexcept nogil:
    """What a thread's rows have at step s."""
    return Lines(plane.data + s * plane.step_bytes, plane.columns, plane.row_bytes, own)


cdef inline char *line(Lines lines, fr_index i) noexcept nogil:
    return lines.data + sequence(lines.rows, i) * lines.row_bytes


cdef void copy(const fr_kernels *k, Lines to, Lines source) noexcept nogil:
    cdef fr_index i
    for i in range(to.rows.count):
        memcpy(line(to, i), line(source, i), to.columns * k.itemsize)


cdef void each(fr_rows *operation, Lines to, Lines source) noexcept nogil:
    """Do with every row of `to` and that of `source` what the operation does with two rows."""
    cdef fr_index i
    for i in range(to.rows.count):
        operation(line(to, i), line(source, i), to.columns)


cdef void apply_rows(
    const fr_kernels *k, const Affine *affine, Workspace work, Lines x, Lines y, Call *call
) noexcept nogil:
    """y = the affine map of x."""
    cdef fr_index i
    for i in range(x.rows.count):
        work.rows[i], work.results[i] = line(x, i), line(y, i)
    apply_pointed(k, affine, work, x.rows.count, call)


cdef void copy_state(const Loop *d, Lines to, const fr_cell *m, fr_index s) noexcept nogil:
    """The state h that step s of a cell reads."""
    cdef fr_index slot = s % m.slots[0] * m.batch.rows, bytes = m.ld * d.kernels.itemsize, i, r
    for i in range(to.rows.count):
        r = to.rows.share.first + i * to.rows.share.stride
        memcpy(
            line(to, i), <char *>m.state[0] + (slot + r) * bytes, to.columns * d.kernels.itemsize
        )


# --- forward ---------------------------------------------------------------------------------

cdef void forward_steps(void *loop, int t, Call *call) noexcept nogil:
    """Every step of a thread's rows, fewer if the call is to end."""
    cdef const Loop *d = <const Loop *>loop
    cdef Workspace work = workspace_of(&d.attention_job, t)
    cdef OwnRows own
    cdef fr_index s, first, rows
    for s in range(d.batch.steps):
        own = rows_at(d, t, call.threads, s)
        if own.count == 0:
            return
        if d.feeding and s == 0:
            copy(d.kernels, at(d.first_fed, own, 0), at(d.fed, own, 0))
        first, rows = 0, rows_of_part(own.share, own.count, d.row_work, d.kernels.lanes)
        while first < own.count:
            if interrupted(call, rows * d.row_work):
                return
            forward_step(d, some_of(own, first, first + rows), s, work, call)
            first += rows


cdef void forward_step(
    const Loop *d, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    cdef const fr_kernels *k = d.kernels
    copy(k, at(d.first_x, own, s), at(d.x, own, s))
    if d.feeding:
        stack(d, own, s, work)
        attend_step(d, own, s, work, call)
    else:
        copy_state(d, at(d.query, own, s), &d.cells[d.layers - 1], s)
        attend_step(d, own, s, work, call)
        copy(k, at(d.first_fed, own, s), at(d.c, own, s))
        stack(d, own, s, work)
    if d.readout.W:
        apply_rows(k, &d.readout, work, at(d.joined, own, s), at(d.f, own, s), call)
        each(k.tanh, at(d.f, own, s), at(d.f, own, s))
    if d.feeding and s + 1 < d.batch.steps:
        copy(k, at(d.first_fed, own, s + 1), at(d.f, own, s))


cdef void stack(const Loop *d, OwnRows own, fr_index s, Workspace work) noexcept nogil:
    """A step of every layer."""
    cdef const fr_kernels *k = d.kernels
    cdef void **acc_init = NULL
    cdef Lines ids = at(d.ids, own, s), y
    cdef fr_index layer, i
    if d.projected:
        acc_init = work.rows
        for i in range(own.count):
            acc_init[i] = <void *>(
                d.projected + (<const cnp.int64_t *>line(ids, i))[0] * d.projected_bytes
            )
    for layer in range(d.layers):
        d.step(&d.cells[layer], own.share, s, <const void *const *>acc_init)
        acc_init = NULL
        y = at(d.outputs[layer], own, s)
        if adds_inputs(d.residual, layer):
            each(k.add_rows, y, at(d.below, own, s))
        if layer + 1 == d.layers:
            return
        if adds_inputs(d.residual, layer + 1):
            copy(k, at(d.below, own, s), y)
        if d.drops:
            each(k.multiply_rows, y, at(d.drops[layer], own, s))


cdef void attend_step(
    const Loop *d, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    """Attend with the query of step s: c and the attention."""
    cdef const AttentionJob *m = &d.attention_job
    cdef fr_index i, n, head
    if d.query_weights.W:
        apply_rows(d.kernels, &d.query_weights, work, at(d.query, own, s), at(d.q, own, s), call)
    for i in range(own.count):
        n = sequence(own, i)
        for head in range(n * m.heads, (n + 1) * m.heads):
            attend(m, head, keys_of(m, n), s, s + 1, work, call)
        if m.mean:
            average_heads(m, n, s, s + 1)
    if d.heads_weights.W:
        apply_rows(d.kernels, &d.heads_weights, work, at(d.heads, own, s), at(d.c, own, s), call)


# --- backward --------------------------------------------------------------------------------

cdef void run_steps_backward(BackwardLoop *b, Call *call) noexcept nogil:
    """All steps from the last to the first, a chunk at a time; fewer if the call is to end."""
    cdef fr_index end = b.forward.batch.steps, first, layer
    while end > 0 and not interrupted(call, 0):
        first = chunk_before(&b.forward.batch, b.row_bytes, end)
        for layer in range(b.forward.layers):
            point_at_chunk(&b.cells[layer], first, end)
        parallel_for(backward_steps, b, call)
        parallel_for(weight_gradients, b, call)
        end = first


cdef void backward_steps(void *loop, int t, Call *call) noexcept nogil:
    """The steps of the chunk of a thread's rows."""
    cdef const BackwardLoop *b = <const BackwardLoop *>loop
    cdef const Loop *d = &b.forward
    cdef Workspace work = workspace_of(&d.attention_job, t)
    cdef OwnRows own
    cdef fr_index s, first, rows
    for s in range(b.cells.end - 1, b.cells.first - 1, -1):
        own = rows_at(d, t, call.threads, s)
        first, rows = 0, rows_of_part(own.share, own.count, d.row_work, d.kernels.lanes)
        while first < own.count:
            if interrupted(call, rows * d.row_work):
                return
            backward_step(b, some_of(own, first, first + rows), s, work, call)
            first += rows


cdef void weight_gradients(void *loop, int t, Call *call) noexcept nogil:
    """What the chunk adds to dWx, dWh and db of every layer; a thread has its own rows of them."""
    cdef const BackwardLoop *b = <const BackwardLoop *>loop
    cdef fr_index layer
    for layer in range(b.forward.layers):
        add_weight_gradients(&b.cells[layer], t, call.threads, call)
    if b.cells.sums.sums:
        sum_by_id(b.cells, t, call.threads)


cdef void backward_step(
    const BackwardLoop *b, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    cdef const Loop *d = &b.forward
    cdef const fr_kernels *k = d.kernels
    cdef Lines dy = at(b.dy, own, s)
    readout_backward(b, own, s, work, call)
    copy(k, at(b.dc, own, s), at(b.djoined_c, own, s))
    copy(k, dy, at(b.djoined_h, own, s))
    if d.feeding:
        attend_step_backward(b, own, s, work, call)
        each(k.add_rows, dy, at(b.dquery, own, s))
        stack_backward(b, own, s, work, call)
        copy(k, at(b.dfed, own, s), at(b.dfirst_fed, own, s))
    else:
        stack_backward(b, own, s, work, call)
        each(k.add_rows, at(b.dc, own, s), at(b.dfirst_fed, own, s))
        attend_step_backward(b, own, s, work, call)
        add_to_dstate(b, at(b.dquery, own, s))
    copy(k, at(b.dx, own, s), at(b.dfirst_x, own, s))


cdef void add_to_dstate(const BackwardLoop *b, Lines dquery) noexcept nogil:
    """Add to the gradient of the state h of the top layer before the step that was walked last."""
    cdef const Backward *top = &b.cells[b.forward.layers - 1]
    cdef fr_index bytes = top.m.cell.ld * b.forward.kernels.itemsize, i, r
    for i in range(dquery.rows.count):
        r = dquery.rows.share.first + i * dquery.rows.share.stride
        b.forward.kernels.add_rows(
            <char *>top.m.dstate[0] + r * bytes, line(dquery, i), dquery.columns
        )


cdef void readout_backward(
    const BackwardLoop *b, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    """Gradient of [c; h]."""
    cdef const fr_kernels *k = b.forward.kernels
    cdef Lines dz = at(b.dz, own, s)
    copy(k, dz, at(b.dfeatures, own, s))
    if b.forward.feeding:
        each(k.add_rows, dz, at(b.dfed, own, s))
    if b.readout_t.W:
        # f = tanh(z), z = bc + [c; h] Wc
        each(k.tanh_backward, dz, at(b.forward.f, own, s))
        apply_rows(k, &b.readout_t, work, dz, at(b.djoined, own, s), call)


cdef void attend_step_backward(
    const BackwardLoop *b, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    """Gradient of the query; what the gradients of the memory need stays in the tapes."""
    cdef const fr_kernels *k = b.forward.kernels
    cdef const AttentionJob *m = &b.forward.attention_job
    cdef fr_index i, n, head
    if b.heads_weights_t.W:
        # c = heads Wo
        apply_rows(k, &b.heads_weights_t, work, at(b.dc, own, s), at(b.dheads, own, s), call)
    for i in range(own.count):
        n = sequence(own, i)
        for head in range(n * m.heads, (n + 1) * m.heads):
            score_gradient(m, head, keys_of(m, n), s, s + 1)
            query_gradient(m, head, keys_of(m, n), s, s + 1, work, call)
        if m.v and s % FR_SUM_BLOCK == 0:
            close_sum(k, b.dscore_k.data + n * b.dscore_k.row_bytes, m.dk[n])
            close_sum(k, b.dscore_v.data + n * b.dscore_v.row_bytes, m.dv[n])
    if b.query_weights_t.W:
        # q = query Wq
        apply_rows(k, &b.query_weights_t, work, at(b.dq, own, s), at(b.dquery, own, s), call)


cdef void close_sum(const fr_kernels *k, char *total, Matrix block) noexcept nogil:
    """Add a block, which then begins anew."""
    k.add_rows(total, block.data, block.rows * block.columns)
    memset(block.data, 0, block.rows * block.row_bytes)


cdef void stack_backward(
    const BackwardLoop *b, OwnRows own, fr_index s, Workspace work, Call *call
) noexcept nogil:
    """From dy, which is that of the top layer, to the gradient of the input of the first."""
    cdef const Loop *d = &b.forward
    cdef const fr_kernels *k = d.kernels
    cdef Lines dy = at(b.dy, own, s), dbelow = at(b.dbelow, own, s)
    cdef fr_index layer
    for layer in range(d.layers - 1, -1, -1):
        b.cells[layer].step(&b.cells[layer].m, own.share, s)
        step_input_gradient(&b.cells[layer], own, s, work.rows, call)
        if layer == 0:
            return
        if d.drops:
            each(k.multiply_rows, dbelow, at(d.drops[layer - 1], own, s))
        # y = h, or h + the input
        if adds_inputs(d.residual, layer):
            each(k.add_rows, dy, dbelow)
        else:
            copy(k, dy, dbelow)


cdef void step_input_gradient(
    const Backward *b, OwnRows own, fr_index s, void **pointers, Call *call
) noexcept nogil:
    """dx = dgates Wx^T of a thread's rows of step s; `pointers` has room for three a row."""
    cdef fr_index number = b.m.cell.batch.offset[s] - b.m.chunk_first + own.share.first
    cdef fr_index part, i
    for part in range(3):
        for i in range(own.count):
            pointers[part * own.count + i] = b.chunk_rows[
                part * b.m.chunk_rows + number + i * own.share.stride
            ]
    through_input(b, pointers, pointers + own.count, pointers + 2 * own.count, 0, own.count, call)
