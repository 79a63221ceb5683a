"""Backpropagation through time for every cell.

    for each chunk of steps, from the last to the first:
        in each thread:
            for each step of the chunk, backwards:
                dh = dgates of the step after it, times Wh^T
                dgates of the step, from dh and the stash, for the thread's rows and units
            wait for all threads
            dW += [x, h]^T dgates over the chunk, for the thread's rows of dW
            dx = dgates Wx^T over the chunk, for the thread's rows of dx

The large products are split by rows of their results, so no sum depends on the number of threads.
"""

cimport numpy as cnp
from cython.parallel cimport parallel, threadid

from fastrnn._kernels.linalg.matrix cimport multiply, plain_product
from fastrnn._kernels.linalg.packing cimport used_columns
from fastrnn._kernels.pointwise.row_sums cimport add_row
from fastrnn._kernels.runtime.cpu cimport flush_denormals, restore_mode
from fastrnn._kernels.runtime.interrupt cimport Call, ends_before, interrupted
from fastrnn._kernels.runtime.thread_groups cimport (
    Barriers, ThreadGroups, actual_groups, in_share, open_barriers, part_of, record_lateness,
    rows_of_part, share_of,
)
from fastrnn._kernels.runtime.threads cimport leave_caller
from fastrnn._kernels.simd cimport (
    FR_APART, FR_OVERWRITE, FR_REAL, fr_barrier_wait, fr_batch, fr_cell, fr_index, fr_kernels,
    fr_layout, fr_product, fr_share
)

# Bytes of dgates, x and h in a chunk: they stay in the cache until the products have read them.
# docs/decisions.md has the figures.
cdef fr_index CHUNK_BYTES = 4 << 20
# Rows of which pointers are made at a time.
cdef enum:
    ROW_GROUP = 96

cnp.import_array()


cdef GradientPart gradient_part(
    fr_index operand, fr_index rows, fr_index gate, const fr_layout *layout, cnp.ndarray out
) noexcept:
    """The part of which `out`, a matrix of so many rows or a bias, is the result."""
    return GradientPart(operand, rows, 0, gate, layout[0], cnp.PyArray_BYTES(out), out.strides[0])


cdef void run_backward(Backward *b, ThreadGroups groups, Call *call) noexcept nogil:
    """All steps from the last to the first, a chunk at a time; fewer if the call is to end."""
    cdef fr_index end = b.m.cell.batch.steps
    cdef Barriers barriers
    if groups.threads > 1:
        open_barriers(&barriers)
    while end > 0 and not interrupted(call, 0):
        point_at_chunk(b, chunk_before(&b.m.cell.batch, b.row_bytes, end), end)
        if groups.threads == 1:
            backward_chunk(b, groups, 0, NULL, call)
        else:
            with parallel(num_threads=groups.threads):
                leave_caller(call)
                backward_chunk(b, groups, threadid(), &barriers, call)
        end = b.first
    if groups.threads > 1:
        record_lateness(groups, &barriers)


cdef void backward_chunk(
    const Backward *b, ThreadGroups planned, int thread, Barriers *barriers, Call *call
) noexcept nogil:
    """What one thread does for a chunk."""
    cdef unsigned mode = flush_denormals()
    cdef ThreadGroups groups = actual_groups(planned)
    cdef fr_share share = share_of(groups, &b.m.cell, thread, barriers)
    if b.work:
        share.work = b.work + thread * b.kernels.program_work
    backward_share(b, share, call)
    if groups.threads > 1:
        fr_barrier_wait(&barriers.chunks, groups.threads, groups.spin_limit)
    add_weight_gradients(b, thread, groups.threads, call)
    if b.sums.sums:
        sum_by_id(b, thread, groups.threads)
    else:
        input_gradient(b, thread, groups.threads, call)
    restore_mode(mode)


cdef void backward_share(const Backward *b, fr_share share, Call *call) noexcept nogil:
    """The steps of a chunk of one thread's share, fewer if the call is to end."""
    cdef const fr_cell *m = &b.m.cell
    cdef fr_index lanes = b.kernels.lanes, s, count, rows, first
    cdef double row_work = 4.0 * m.hidden * (share.end - share.begin) * lanes, work = 0
    for s in range(b.end - 1, b.first - 1, -1):
        count = in_share(&m.batch, share, s)
        work += count * row_work
        if ends_before(call, share, m.batch.steps - s, &work):
            return
        rows = rows_of_part(share, count, row_work, lanes)
        if rows >= count:
            b.step(&b.m, share, s)
            continue
        first = 0
        while first < count and not interrupted(call, rows * row_work):
            b.step(&b.m, part_of(share, first, first + rows), s)
            first += rows


cdef void add_weight_gradients(
    const Backward *b, int thread, int threads, Call *call
) noexcept nogil:
    """dW += operand^T dgates over the chunk; each thread has its own rows of dW."""
    cdef const fr_kernels *k = b.kernels
    cdef fr_product product
    cdef const GradientPart *part
    cdef const char *dgates
    cdef fr_index before = 0, full, begin, end, left, panel = b.m.chunk_rows * 4 * k.lanes
    cdef int i
    for i in range(b.part_count):
        part = &b.parts[i]
        begin, end = part.rows * thread // threads, part.rows * (thread + 1) // threads
        dgates = <char *>b.m.dgates + part.panel * panel * k.itemsize
        full = part.layout.panels
        if full <= part.layout.group:
            full = used_columns(k, &part.layout) // (part.layout.width * k.lanes)
        product = fr_product(
            plan=b.m.cell.plan, blocks=1, depth=b.m.chunk_rows, a=b.operands + before,
            a_step=0 if part.operand < 0 else k.lanes, a_block=0,
            b=dgates + part.gate * k.lanes * k.itemsize, b_step=4,
            b_panel=panel, layout=part.layout, begin=0, end=full, bias=NULL,
            c=b.results + before,
            accumulate=FR_APART if b.end < b.m.cell.batch.steps else FR_OVERWRITE,
            format=FR_REAL, int8=NULL,
        )
        multiply(k, &product, begin, end, call)
        # In a last panel that is not full the gates are nearer to each other.
        product.begin, product.end = full, part.layout.panels
        left = part.layout.limit[0] - part.layout.start[0] - full * part.layout.advance
        product.b = dgates + part.gate * left * k.itemsize
        multiply(k, &product, begin, end, call)
        before += part.rows


cdef void input_gradient(const Backward *b, int thread, int threads, Call *call) noexcept nogil:
    """dx = dgates Wx^T over the chunk; each thread has its own rows of dx."""
    cdef fr_index rows = b.m.chunk_rows
    through_input(
        b, b.chunk_rows, b.chunk_rows + rows, b.chunk_rows + 2 * rows, rows * thread // threads,
        rows * (thread + 1) // threads, call,
    )


cdef void sum_by_id(const Backward *b, int thread, int threads) noexcept nogil:
    """sums[id] += dgates over the chunk; each thread has its own panels."""
    cdef const fr_cell *m = &b.m.cell
    cdef fr_index row_bytes = 4 * b.kernels.lanes * b.kernels.itemsize, s, r, id
    cdef fr_index panel, panels = b.layout_x.panels
    cdef const char *dgates
    for panel in range(panels * thread // threads, panels * (thread + 1) // threads):
        dgates = <const char *>b.m.dgates + panel * b.m.chunk_rows * row_bytes
        for s in range(b.first, b.end):
            for r in range(m.batch.batch_sizes[s]):
                id = (<const cnp.int64_t *>b.ids.row[r])[s * b.ids.step]
                add_row(b.kernels, &b.sums, panel, id, dgates)
                dgates += row_bytes


cdef void through_input(
    const Backward *b, void **dgates, void **last, void **dx, fr_index begin, fr_index end,
    Call *call,
) noexcept nogil:
    """dx = dgates Wx^T for rows begin .. end-1 given by pointers to dgates, to their last panel."""
    cdef const fr_kernels *k = b.kernels
    cdef fr_index depth = b.layout_x.width * k.lanes
    cdef fr_index columns = used_columns(k, &b.layout_x), full = columns // depth
    cdef fr_product product = plain_product(
        k, dgates, 1, depth, b.wx_t, b.layout_x.panels * depth, dx, b.m.cell.input
    )
    product.blocks, product.a_block = full, b.m.chunk_rows * 4 * k.lanes
    if b.layout_x.panels > b.layout_x.group and columns_left(&b.layout_x):
        through_gates(b, &product, begin, end, call)
        return
    if full:
        multiply(k, &product, begin, end, call)
    if columns > full * depth:
        product.blocks, product.depth = 1, columns - full * depth
        product.a = last
        product.b = <const char *>b.wx_t + full * depth * 4 * k.lanes * k.itemsize
        product.accumulate = full > 0
        multiply(k, &product, begin, end, call)


cdef fr_index columns_left(const fr_layout *layout) noexcept nogil:
    """Columns of the last panel of a gate that has panels of its own; 0: it is full."""
    return (layout.limit[0] - layout.start[0]) % layout.advance


cdef void through_gates(
    const Backward *b, fr_product *product, fr_index begin, fr_index end, Call *call
) noexcept nogil:
    """The same gate by gate, where the last panel of each is not full."""
    cdef const fr_kernels *k = b.kernels
    cdef const fr_layout *layout = &b.layout_x
    cdef fr_index left = columns_left(layout), full = layout.group - 1
    cdef fr_index panel, at, i, count, panel_bytes = layout.advance * k.itemsize
    cdef void **rows = product.a
    cdef void **dx = product.c
    cdef void *dgates[ROW_GROUP]
    cdef const char *wx_t = <const char *>product.b
    product.a = dgates
    for panel in range(layout.panels):
        if panel % layout.group != 0 and panel % layout.group != full:
            continue
        product.blocks, product.depth = full, layout.advance
        if panel % layout.group == full:
            product.blocks, product.depth = 1, left
        product.b = wx_t + panel * panel_bytes * 4 * k.lanes
        at = begin
        while at < end:
            count = min(<fr_index>ROW_GROUP, end - at)
            for i in range(count):
                dgates[i] = <char *>rows[at + i] + panel * b.m.chunk_rows * panel_bytes
            product.c = dx + at
            multiply(k, product, 0, count, call)
            at += count
        product.accumulate = 1


cdef void point_at_chunk(Backward *b, fr_index first, fr_index end) noexcept nogil:
    """Aim every pointer of `b` at the chunk of steps first .. end-1."""
    cdef const fr_batch *batch = &b.m.cell.batch
    cdef const fr_kernels *k = b.kernels
    cdef fr_index i, j, s, r, n = 0, vector, rows = batch.offset[end] - batch.offset[first]
    cdef fr_index last = (b.layout_x.panels - 1) * 4 * k.lanes * k.itemsize
    b.first, b.end, b.m.chunk_first, b.m.chunk_rows = first, end, batch.offset[first], rows
    for i in range(b.part_count):
        for j in range(b.parts[i].rows):
            vector = b.parts[i].operand + j // k.lanes
            b.operands[n] = <void *>b.one if b.parts[i].operand < 0 else (
                <char *>b.m.operand + (vector * rows * k.lanes + j % k.lanes) * k.itemsize
            )
            n += 1
    n = 0
    for s in range(first, end):
        for r in range(batch.batch_sizes[s]):
            b.chunk_rows[n] = <char *>b.m.dgates + n * 4 * k.lanes * k.itemsize
            b.chunk_rows[rows + n] = <char *>b.chunk_rows[n] + last * rows
            b.chunk_rows[2 * rows + n] = <char *>b.dx.row[r] + s * b.dx.step * k.itemsize
            n += 1


cdef fr_index chunk_before(const fr_batch *batch, fr_index row_bytes, fr_index end) noexcept nogil:
    """First step of the chunk that ends before step `end`: at least one step, else what fits."""
    cdef fr_index first = end - 1, rows = CHUNK_BYTES // row_bytes
    while first > 0 and batch.offset[end] - batch.offset[first - 1] <= rows:
        first -= 1
    return first


cdef fr_index largest_chunk(const fr_batch *batch, fr_index row_bytes) noexcept nogil:
    """Rows of the largest chunk."""
    cdef fr_index end = batch.steps, first, rows = 0
    while end > 0:
        first = chunk_before(batch, row_bytes, end)
        rows = max(rows, batch.offset[end] - batch.offset[first])
        end = first
    return rows
