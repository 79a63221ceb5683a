"""The forward time loop of every cell.

Rows are dealt to threads for the whole sequence: no thread waits for another inside the loop.
"""

from cython.parallel cimport prange

from fastrnn._kernels.cpu cimport flush_denormals, restore_mode
from fastrnn._kernels.layout cimport packed_columns
from fastrnn._kernels.simd cimport (
    fr_cell, fr_index, fr_kernels, fr_product, fr_share, fr_step
)


cdef fr_index in_share(const fr_cell *m, fr_share share, fr_index s) noexcept nogil:
    """Rows of the share that have a step s."""
    cdef fr_index left = m.schedule.active[s] - share.first
    return (left + share.stride - 1) // share.stride if left > 0 else 0


cdef fr_index project(
    const fr_kernels *k, const fr_cell *m, fr_share share, fr_index first,
    const Projection *projection,
) noexcept nogil:
    """bias + x Wx for the share's steps from `first`, as many as fit; returns where it stopped."""
    cdef void **rows = <void **>(projection.memory + share.first * projection.thread_bytes)
    cdef void **results = rows + projection.chunk_rows
    cdef char *result = <char *>(results + projection.chunk_rows)
    cdef fr_index columns = packed_columns(k, &projection.layout)
    cdef fr_index s = first, i, n = 0, count
    while s < m.schedule.steps:
        count = in_share(m, share, s)
        if count == 0 or n + count > projection.chunk_rows:
            break
        for i in range(count):
            rows[n] = (
                <char *>m.x.row[share.first + i * share.stride] + s * m.x.step * k.itemsize
            )
            results[n] = result + n * columns * k.itemsize
            n += 1
        s += 1
    cdef fr_product product = fr_product(
        blocks=1, depth=m.input, a=rows, a_step=1, a_block=0,
        b=m.wx, b_step=projection.layout.width,
        b_panel=m.input * projection.layout.width * k.lanes,
        width=projection.layout.width, columns=columns, bias=m.bias, c=results,
        accumulate=0,
    )
    k.product(&product, 0, n)
    return s


cdef void forward_share(
    const fr_kernels *k, fr_step *step, const fr_cell *m, fr_share share,
    const Projection *projection,
) noexcept nogil:
    """Every step of one thread's rows."""
    cdef unsigned mode = flush_denormals()
    cdef fr_index s = 0, end
    cdef const char *projected = NULL
    while s < m.schedule.steps and in_share(m, share, s):
        end = m.schedule.steps
        if projection.memory:
            end = project(k, m, share, s, projection)
            projected = (
                projection.memory + share.first * projection.thread_bytes
                + 2 * projection.chunk_rows * sizeof(void *)
            )
        while s < end and in_share(m, share, s):
            step(m, share, s, projected)
            if projected:
                projected += (
                    in_share(m, share, s) * packed_columns(k, &projection.layout) * k.itemsize
                )
            s += 1
    restore_mode(mode)


cdef void run_forward(
    const fr_kernels *k, fr_step *step, const fr_cell *m, const Projection *projection, int threads
) noexcept nogil:
    """All steps of all rows."""
    cdef int t
    if threads == 1:
        forward_share(k, step, m, fr_share(0, 1), projection)
        return
    for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
        forward_share(k, step, m, fr_share(t, threads), projection)
