"""The forward time loop of every cell: each thread runs its share of all steps.

    in each thread, for its rows and hidden units:
        for each step:
            every so many steps, unless the step itself multiplies x by Wx:
                bias + x Wx for these steps, in one product (or looked up, for an embedding)
            gates = that + h Wh, and the new state, in C: simd/cells/
            wait for the threads that share these rows, if there are any

A thread that has rows of its own waits for nobody.
"""

cimport numpy as cnp
from cython.parallel cimport parallel, threadid

from fastrnn._kernels.linalg.matrix cimport multiply
from fastrnn._kernels.linalg.packing cimport packed_columns, packed_layout
from fastrnn._kernels.recurrent.weights cimport work_bytes
from fastrnn._kernels.runtime.cpu cimport flush_denormals, plan_of, restore_mode
from fastrnn._kernels.runtime.interrupt cimport Call, ends_before, interrupted
from fastrnn._kernels.runtime.thread_groups cimport (
    Barriers, ThreadGroups, actual_groups, in_share, open_barriers, part_of, record_lateness,
    rows_of_part, share_of,
)
from fastrnn._kernels.runtime.threads cimport leave_caller
from fastrnn._kernels.simd cimport (
    FR_INT8, FR_REAL, fr_barrier_wait, fr_cell, fr_elements, fr_index, fr_int8_matrix,
    fr_int8_operands, fr_int8_row_bytes, fr_kernels, fr_layout, fr_product, fr_share, fr_step
)

# What one thread projects: the columns of its panels of Wx, for the rows of its share. With an
# embedding, which is projected already, only its rows are looked up.
cdef struct Projected:
    fr_product product
    void **rows
    void **results
    char *memory
    fr_index row_bytes
    char *quantized  # rows of x, if the weights have 8 bits
    fr_index quantized_bytes
    float *scales
    fr_int8_operands int8


cdef fr_product input_product(
    const fr_kernels *k, fr_index depth, const void *wx, const void *bias,
    const fr_layout *layout, void **rows, void **results,
) noexcept nogil:
    """bias + x Wx, whose columns lie as those of packed weights."""
    return fr_product(
        plan=plan_of(k), blocks=1, depth=depth, a=rows, a_step=1, a_block=0, b=wx,
        b_step=layout.width,
        b_panel=depth * layout.width * k.lanes, layout=packed_layout(k, layout), begin=0,
        end=layout.panels, bias=bias, c=results, accumulate=0, format=FR_REAL, int8=NULL,
    )


cdef Projected plan_product(
    const fr_kernels *k, const fr_cell *m, fr_share share, int thread, const Projection *projection
) noexcept nogil:
    """The product bias + x Wx for the panels of a share; its rows are aimed by `project`."""
    cdef Projected own
    cdef fr_index vectors = projection.layout.advance // k.lanes  # of hidden units in a panel
    own.row_bytes = packed_columns(k, &projection.layout) * k.itemsize
    own.rows = <void **>(projection.memory + thread * projection.thread_bytes)
    own.results = own.rows + projection.chunk_rows
    own.memory = <char *>(own.results + projection.chunk_rows)
    own.product = input_product(
        k, m.input, projection.wx, m.bias, &projection.layout, own.rows, own.results
    )
    own.product.format = m.format
    own.product.b_panel = fr_elements(m.format, m.input) * projection.layout.width * k.lanes
    if m.format == FR_INT8:
        own.quantized_bytes = fr_int8_row_bytes(m.int8, m.input)
        own.quantized = own.memory + projection.chunk_rows * own.row_bytes
        own.scales = <float *>(own.quantized + projection.chunk_rows * own.quantized_bytes)
        own.int8.kernels, own.int8.b = m.int8, <const fr_int8_matrix *>projection.wx
        own.int8.row_scale = own.scales
    own.product.begin = share.begin // vectors
    own.product.end = (share.end + vectors - 1) // vectors
    return own


cdef fr_index project(
    const fr_kernels *k, const fr_cell *m, fr_share share, fr_index first, const Projected *own,
    const Projection *projection, Call *call,
) noexcept nogil:
    """Project the share's steps from `first`, as many as fit; returns where it stopped."""
    cdef fr_index s = first, i, n = 0, count, row, _gate
    cdef fr_product product
    cdef cnp.int64_t id
    while s < m.batch.steps:
        count = in_share(&m.batch, share, s)
        if count == 0 or n + count > projection.chunk_rows:
            break
        for i in range(count):
            row = share.first + i * share.stride
            if projection.projected:
                id = (<const cnp.int64_t *>m.x.row[row])[s * m.x.step]
                own.results[n] = <void *>(projection.projected + id * own.row_bytes)
            else:
                own.rows[n] = <char *>m.x.row[row] + s * m.x.step * k.itemsize
                if m.format == FR_INT8:
                    quantize_row(m, own, n)
                own.results[n] = own.memory + n * own.row_bytes
            n += 1
        s += 1
    if projection.projected == NULL:
        product = own.product
        product.int8 = &own.int8
        for _gate in range(projection.layout.panels // projection.layout.group):
            multiply(k, &product, 0, n, call)
            product.begin += projection.layout.group
            product.end += projection.layout.group
    return s


cdef void quantize_row(const fr_cell *m, const Projected *own, fr_index n) noexcept nogil:
    """Put the integers of a row in its place."""
    cdef char *integers = own.quantized + n * own.quantized_bytes
    m.int8.quantize(<const float *>own.rows[n], m.input, integers, own.scales + n)
    own.rows[n] = integers


cdef void forward_share(
    const fr_kernels *k, fr_step *step, const fr_cell *m, fr_share share, int thread,
    const Projection *projection, Call *call,
) noexcept nogil:
    """Every step of one thread's share, fewer if the call is to end."""
    cdef unsigned mode = flush_denormals()
    cdef fr_index s = 0, end = m.batch.steps, count, rows
    cdef double work = 0
    cdef double row_work = 4.0 * (m.input + m.hidden) * (share.end - share.begin) * k.lanes
    cdef void **acc_init = NULL
    cdef Projected own
    if projection.work:
        share.work = projection.work + thread * work_bytes(k, m)
    if projection.memory:
        end = 0
        own = plan_product(k, m, share, thread, projection)
    while s < m.batch.steps:
        count = in_share(&m.batch, share, s)
        work += count * row_work
        if count == 0 or ends_before(call, share, s + 1, &work):
            break
        if s == end:
            end = project(k, m, share, s, &own, projection, call)
            acc_init = own.results
        rows = rows_of_part(share, count, row_work, k.lanes)
        if rows >= count:
            step(m, share, s, <const void *const *>acc_init)
        else:
            step_in_parts(
                step, m, share, s, <const void *const *>acc_init, count, rows, row_work, call
            )
        if acc_init:
            acc_init += count
        if share.barrier:
            fr_barrier_wait(share.barrier, share.threads, share.spin_limit)
        s += 1
    restore_mode(mode)


cdef void step_in_parts(
    fr_step *step, const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init,
    fr_index count, fr_index rows, double row_work, Call *call,
) noexcept nogil:
    """A step of a share that has `count` rows, `rows` at a time; fewer if the call is to end."""
    cdef fr_index first = 0
    while first < count and not interrupted(call, rows * row_work):
        step(m, part_of(share, first, first + rows), s, acc_init + first if acc_init else NULL)
        first += rows


cdef void run_forward(
    const fr_kernels *k, fr_step *step, const fr_cell *m, const Projection *projection,
    ThreadGroups groups, Call *call,
) noexcept nogil:
    """All steps of all rows, fewer if the call is to end."""
    cdef Barriers barriers
    if groups.threads == 1:
        forward_share(k, step, m, share_of(groups, m, 0, NULL), 0, projection, call)
    else:
        open_barriers(&barriers)
        with parallel(num_threads=groups.threads):
            leave_caller(call)
            run_member(k, step, m, projection, groups, threadid(), &barriers, call)
        record_lateness(groups, &barriers)


cdef void run_member(
    const fr_kernels *k, fr_step *step, const fr_cell *m, const Projection *projection,
    ThreadGroups groups, int thread, Barriers *barriers, Call *call,
) noexcept nogil:
    """What one thread of a parallel region runs.

    Where there are fewer threads than were asked for, each takes several shares of the rows, which
    were planned for.
    """
    cdef int share = thread
    cdef ThreadGroups given = actual_groups(groups)
    if groups.per_group > 1:
        groups = given
    while share < groups.threads:
        forward_share(
            k, step, m, share_of(groups, m, share, barriers), share, projection, call
        )
        share += given.threads
