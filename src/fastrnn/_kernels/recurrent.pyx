"""The time loops that every cell shares: one direction of one layer, forward and backward.

A `Recurrence` sorts the batch by falling length, so that the sequences still running at any step
are the first rows; a sequence's steps count from where its direction begins, so that `reverse`
only turns the caller's pointers around. Rows are dealt to threads for the whole sequence: no
thread waits for another inside the loop.
"""

cimport numpy as cnp
import numpy as np
from cython.parallel cimport prange
from libc.string cimport memcpy, memset

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.layout cimport packed, packed_columns, packed_transposed, plain_layout
from fastrnn._kernels.memory cimport Buffer
from fastrnn._kernels.simd cimport (
    fr_backward_step, fr_cell, fr_cell_backward, fr_index, fr_kernels, fr_layout, fr_product,
    fr_schedule, fr_share, fr_step, fr_view
)
from fastrnn._kernels.threads cimport threads_for

cnp.import_array()

# Bytes of weights up to which x joins the product of every step. Above, they would leave the
# cache between steps, and x is projected for PROJECTION_ROWS rows ahead of the loop.
cdef fr_index JOINED_BYTES = 1 << 20
cdef fr_index PROJECTION_ROWS = 96
# Rows of a chunk of the backward: its gate gradients meet x, h and the weights while in cache.
cdef fr_index CHUNK_ROWS = 512


cdef class Schedule:
    """Which rows run at which step, and which sequence each row is."""

    def __cinit__(self, fr_index sequences, fr_index length, lengths, bint reverse):
        self.memory = Buffer((2 * sequences + 2 * length + 1) * sizeof(fr_index))
        self.order = <fr_index *>self.memory.data
        self.steps = self.order + sequences
        self.reverse = reverse
        self.length = length
        cdef fr_index *active = self.steps + sequences
        cdef fr_index *offset = active + length
        cdef fr_index r, s, running = sequences
        cdef cnp.ndarray own, falling
        if lengths is None:
            for r in range(sequences):
                self.order[r] = r
                self.steps[r] = length
        else:
            own, falling = lengths, np.argsort(-lengths, kind="stable")
            for r in range(sequences):
                self.order[r] = (<const cnp.intp_t *>cnp.PyArray_DATA(falling))[r]
                self.steps[r] = (<const cnp.int64_t *>cnp.PyArray_DATA(own))[self.order[r]]
        offset[0] = 0
        for s in range(length):
            while running > 0 and self.steps[running - 1] <= s:
                running -= 1
            active[s] = running
            offset[s + 1] = offset[s] + running
        self.c = fr_schedule(rows=sequences, steps=length, active=active, offset=offset)

    cdef fr_view view(self, object array, void **rows):
        """The caller's (N, T, width) array in processing order; `rows` receives its pointers."""
        cdef cnp.ndarray a = array
        cdef fr_index step = a.strides[1], r, start
        for r in range(self.c.rows):
            start = self.steps[r] - 1 if self.reverse and self.steps[r] else 0
            rows[r] = cnp.PyArray_BYTES(a) + self.order[r] * a.strides[0] + start * step
        cdef fr_view result
        result.row = rows
        result.step = (-step if self.reverse else step) // a.itemsize
        return result

    cdef void clear_padding(self, object array) noexcept:
        """Zero what lies past each sequence's length."""
        cdef cnp.ndarray a = array
        cdef fr_index r, t
        for r in range(self.c.rows):
            for t in range(self.steps[r], self.length):
                memset(
                    cnp.PyArray_BYTES(a) + self.order[r] * a.strides[0] + t * a.strides[1],
                    0,
                    a.shape[2] * a.itemsize,
                )


cdef void **reserve_pointers(list owner, fr_index count) except NULL:
    """Memory for `count` pointers that lives as long as `owner`."""
    cdef Buffer buffer = Buffer(count * sizeof(void *))
    owner.append(buffer)
    return <void **>buffer.data


# --- forward --------------------------------------------------------------------------------

cdef struct Projection:
    fr_layout layout
    fr_index chunk_rows  # rows projected at a time, at most
    char *memory         # for each thread: pointers to chunk_rows rows of x and of the result,
    fr_index thread_bytes  # then the result


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


cdef void copy_rows_in(
    Schedule schedule, char *rows, fr_index row_bytes, cnp.ndarray array
) noexcept:
    """rows[r] = array[sequence of r], zeros after its end."""
    cdef fr_index r, size = array.shape[1] * array.itemsize
    for r in range(schedule.c.rows):
        memcpy(rows + r * row_bytes, cnp.PyArray_BYTES(array) + schedule.order[r] * size, size)
        memset(rows + r * row_bytes + size, 0, row_bytes - size)


# --- backward -------------------------------------------------------------------------------

cdef struct Backward:
    fr_cell_backward m
    fr_backward_step *step
    fr_view dx
    const void *wx_t
    fr_layout layout_x
    GradientPart parts[4]
    void *packed[4]    # the parts' results, packed
    int part_count
    void **operands    # pointers to every row of every part's operand
    void **results     # and of its result
    void **chunk_rows  # pointers to every row of dgates in the chunk, then of dx
    const void *one


cdef void backward_share(
    const Backward *b, fr_share share, fr_index first, fr_index end
) noexcept nogil:
    """Steps end-1 down to `first` of one thread's rows: dgates and the gradients of the state."""
    cdef unsigned mode = flush_denormals()
    cdef fr_index s
    for s in range(end - 1, first - 1, -1):
        b.step(&b.m, share, s)
    restore_mode(mode)


cdef void add_weight_gradients(
    const fr_kernels *k, const Backward *b, int thread, int threads
) noexcept nogil:
    """dW += operand^T dgates over the chunk; each thread has its own rows of dW."""
    cdef unsigned mode = flush_denormals()
    cdef fr_product product
    cdef const GradientPart *part
    cdef fr_index before = 0
    cdef int i
    for i in range(b.part_count):
        part = &b.parts[i]
        product = fr_product(
            blocks=1, depth=b.m.chunk_rows, a=b.operands + before,
            a_step=0 if part.operand < 0 else k.lanes, a_block=0,
            b=<char *>b.m.dgates + part.vector * k.lanes * k.itemsize, b_step=4,
            b_panel=b.m.chunk_rows * 4 * k.lanes, width=part.layout.width,
            columns=packed_columns(k, &part.layout), bias=NULL, c=b.results + before, accumulate=1,
        )
        k.product(&product, part.rows * thread // threads, part.rows * (thread + 1) // threads)
        before += part.rows
    restore_mode(mode)


cdef void input_gradient(
    const fr_kernels *k, const Backward *b, int thread, int threads
) noexcept nogil:
    """dx = dgates Wx^T over the chunk; each thread has its own rows of dx."""
    cdef unsigned mode = flush_denormals()
    cdef fr_index rows = b.m.chunk_rows, depth = b.layout_x.width * k.lanes
    cdef fr_product product = fr_product(
        blocks=b.layout_x.panels, depth=depth, a=b.chunk_rows, a_step=1,
        a_block=rows * 4 * k.lanes, b=b.wx_t, b_step=4,
        b_panel=b.layout_x.panels * depth * 4 * k.lanes, width=4, columns=b.m.cell.input,
        bias=NULL, c=b.chunk_rows + rows, accumulate=0,
    )
    k.product(&product, rows * thread // threads, rows * (thread + 1) // threads)
    restore_mode(mode)


cdef void point_at_chunk(
    const fr_kernels *k, Backward *b, fr_index first, fr_index end
) noexcept nogil:
    """Aim every pointer of `b` at the chunk of steps first .. end-1."""
    cdef const fr_schedule *schedule = &b.m.cell.schedule
    cdef fr_index i, j, s, r, n = 0, vector
    b.m.chunk_first = schedule.offset[first]
    b.m.chunk_rows = schedule.offset[end] - schedule.offset[first]
    for i in range(b.part_count):
        for j in range(b.parts[i].rows):
            vector = b.parts[i].operand + j // k.lanes
            b.operands[n] = <void *>b.one if b.parts[i].operand < 0 else (
                <char *>b.m.operand
                + (vector * b.m.chunk_rows * k.lanes + j % k.lanes) * k.itemsize
            )
            n += 1
    n = 0
    for s in range(first, end):
        for r in range(schedule.active[s]):
            b.chunk_rows[n] = <char *>b.m.dgates + n * 4 * k.lanes * k.itemsize
            b.chunk_rows[b.m.chunk_rows + n] = (
                <char *>b.dx.row[r] + s * b.dx.step * k.itemsize
            )
            n += 1


cdef fr_index chunk_before(const fr_schedule *schedule, fr_index end) noexcept nogil:
    """First step of the chunk that ends before step `end`."""
    cdef fr_index first = end - 1
    while first > 0 and schedule.offset[end] - schedule.offset[first - 1] <= CHUNK_ROWS:
        first -= 1
    return first


cdef void run_backward(const fr_kernels *k, Backward *b, int threads) noexcept nogil:
    """All steps from the last to the first, a chunk at a time."""
    cdef fr_index end = b.m.cell.schedule.steps, first
    cdef int t
    while end > 0:
        first = chunk_before(&b.m.cell.schedule, end)
        point_at_chunk(k, b, first, end)
        if threads == 1:
            backward_share(b, fr_share(0, 1), first, end)
            add_weight_gradients(k, b, 0, 1)
            input_gradient(k, b, 0, 1)
        else:
            for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                backward_share(b, fr_share(t, threads), first, end)
            for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                add_weight_gradients(k, b, t, threads)
                input_gradient(k, b, t, threads)
        end = first


cdef class Recurrence:
    """One direction of one layer over one batch; after a forward in training, its tape.

    A cell's class sets `step`, `backward_step`, `layout_x` and `layout_h` (how the gates as seen by
    x and by h are packed), `h_vector` (where the latter begin in a panel of dgates) and `gated`
    (whether the backward needs the activated gates).
    """

    cdef int begin(self, object x, object Wx, object Wh, object lengths, bint reverse) except -1:
        cdef cnp.ndarray x_array = x
        cdef fr_index lanes
        self.kernels = kernels_for(x_array.itemsize)
        lanes = self.kernels.lanes
        self.x, self.Wx, self.Wh = x, Wx, Wh
        self.tape = []
        self.schedule = Schedule(x_array.shape[0], x_array.shape[1], lengths, reverse)
        self.cell.schedule = self.schedule.c
        self.cell.input = x_array.shape[2]
        self.cell.hidden = Wh.shape[0]
        self.cell.ld = (self.cell.hidden + lanes - 1) // lanes * lanes
        return 0

    cdef void *reserve(self, list owner, fr_index count, bint zeroed=False) except NULL:
        """Memory for `count` numbers that lives as long as `owner`."""
        cdef Buffer buffer = Buffer(count * self.kernels.itemsize, zeroed)
        owner.append(buffer)
        return buffer.data

    cdef int forward_extras(self, list scratch) except -1:
        """What only some cells need; scratch memory goes to `scratch`."""
        return 0

    cdef int backward_extras(self, list scratch, const void **wh_n_t, void **dreset_h) except -1:
        return 0

    cdef int extra_part(self, list gradients, GradientPart *part):
        """A fourth part of the weight gradients; returns whether there is one."""
        return 0

    cdef double work(self):
        """Multiply-adds of the forward."""
        return (
            <double>self.cell.schedule.offset[self.cell.schedule.steps]
            * packed_columns(self.kernels, &self.layout_x)
            * (self.cell.input + self.cell.hidden)
        )

    cdef list forward(self, object b, list states, object y, bint train, object num_threads):
        """Run every step; writes y and returns the final states."""
        cdef fr_cell *m = &self.cell
        cdef const fr_kernels *k = self.kernels
        cdef fr_step *step = self.step
        cdef Projection projection
        cdef list scratch = []
        cdef fr_index rows = m.schedule.rows, state_size = rows * m.ld
        cdef int t, threads = threads_for(num_threads, self.work(), rows)
        cdef Buffer wx = packed(k, self.Wx, &self.layout_x)
        cdef Buffer wh = packed(k, self.Wh, &self.layout_h)
        cdef Buffer bias = packed(k, b, &self.layout_x)
        m.wx, m.wh, m.bias = wx.data, wh.data, bias.data
        m.h_slots = m.schedule.steps + 1 if train else 2
        m.c_slots = m.schedule.steps + 1 if train else 1
        m.x = self.view(self.tape, self.x)
        m.y = self.view(scratch, y)
        m.h = self.reserve(self.tape, m.h_slots * state_size)
        copy_rows_in(self.schedule, <char *>m.h, m.ld * k.itemsize, states[0])
        if len(states) == 2:
            m.c = self.reserve(self.tape, m.c_slots * state_size)
            copy_rows_in(self.schedule, <char *>m.c, m.ld * k.itemsize, states[1])
        m.tape_rows = m.schedule.offset[m.schedule.steps]
        if train and self.gated:
            m.gates = self.reserve(self.tape, m.ld * 4 * m.tape_rows)
        self.forward_extras(scratch)
        plan_projection(self, &projection, scratch, threads)
        with nogil:
            if threads == 1:
                forward_share(k, step, m, fr_share(0, 1), &projection)
            else:
                for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                    forward_share(k, step, m, fr_share(t, threads), &projection)
        self.schedule.clear_padding(y)
        final = [self.state_of_sequences(m.h, m.h_slots)]
        if len(states) == 2:
            final.append(self.state_of_sequences(m.c, m.c_slots))
        return final


    cdef fr_view view(self, list owner, object array):
        """A caller's array in processing order."""
        return self.schedule.view(array, reserve_pointers(owner, self.cell.schedule.rows))

    cdef object state_of_sequences(self, void *state, fr_index slots):
        """Each sequence's row of the slot that its own last step wrote, (N, H)."""
        cdef fr_cell *m = &self.cell
        cdef cnp.ndarray out = np.empty((m.schedule.rows, m.hidden), self.x.dtype)
        cdef fr_index r, size = m.hidden * self.kernels.itemsize
        cdef fr_index row_bytes = m.ld * self.kernels.itemsize
        for r in range(m.schedule.rows):
            memcpy(
                cnp.PyArray_BYTES(out) + self.schedule.order[r] * size,
                <char *>state
                + ((self.schedule.steps[r] % slots) * m.schedule.rows + r) * row_bytes,
                size,
            )
        return out

    cdef tuple backward(self, object dy, list dstates, list gradients, object num_threads):
        """Returns dx and the gradients of the initial states; fills `gradients` (dWx, dWh, db)."""
        cdef const fr_kernels *k = self.kernels
        cdef list scratch = []
        cdef Backward b
        cdef int threads = threads_for(num_threads, 2 * self.work(), self.cell.schedule.rows)
        cdef cnp.ndarray dx = np.empty((<object>self.x).shape, self.x.dtype)
        cdef Buffer wx_t = packed_transposed(k, self.Wx, &self.layout_x)
        cdef Buffer wh_t = packed_transposed(k, self.Wh, &self.layout_h)
        memset(&b, 0, sizeof(b))
        b.m.cell, b.step, b.layout_x = self.cell, self.backward_step, self.layout_x
        b.wx_t, b.m.wh_t = wx_t.data, wh_t.data
        b.m.dy = self.view(scratch, dy)
        b.dx = self.view(scratch, dx)
        b.m.dh = self.state_rows(scratch, dstates[0])
        if len(dstates) == 2:
            b.m.dc = self.state_rows(scratch, dstates[1])
        self.backward_extras(scratch, &b.m.wh_n_t, &b.m.dreset_h)
        plan_gradients(self, &b, scratch, gradients)
        with nogil:
            run_backward(k, &b, threads)
            for i in range(b.part_count):
                k.unpack(b.parts[i].out, b.packed[i], b.parts[i].rows, b.parts[i].out_step,
                         &b.parts[i].layout)
        self.schedule.clear_padding(dx)
        dstates0 = [self.state_of_sequences(b.m.dh, 1)]
        if len(dstates) == 2:
            dstates0.append(self.state_of_sequences(b.m.dc, 1))
        return dx, dstates0

    cdef void *state_rows(self, list scratch, object dstate) except NULL:
        """A copy of a state's gradient in processing order."""
        cdef fr_index ld = self.cell.ld
        cdef void *rows = self.reserve(scratch, self.cell.schedule.rows * ld)
        copy_rows_in(self.schedule, <char *>rows, ld * self.kernels.itemsize, dstate)
        return rows


cdef int plan_projection(Recurrence run, Projection *plan, list scratch, int threads) except -1:
    """Decide whether x is projected ahead of the loop; measured in docs/performance.md."""
    cdef const fr_kernels *k = run.kernels
    cdef fr_index columns = packed_columns(k, &run.layout_x)
    cdef fr_index share = (run.cell.schedule.rows + threads - 1) // threads
    plan.memory = NULL
    plan.layout = run.layout_x
    if (run.cell.input + run.cell.hidden) * columns * k.itemsize <= JOINED_BYTES:
        return 0
    plan.chunk_rows = max(PROJECTION_ROWS, share)
    plan.thread_bytes = plan.chunk_rows * (2 * sizeof(void *) + columns * k.itemsize)
    plan.thread_bytes = (plan.thread_bytes + 63) // 64 * 64
    plan.memory = <char *>run.reserve(scratch, threads * plan.thread_bytes // k.itemsize)
    return 0


cdef int plan_gradients(Recurrence run, Backward *b, list scratch, list gradients) except -1:
    """Lay out the parts of the weight gradients and the memory of a chunk."""
    cdef const fr_kernels *k = run.kernels
    cdef fr_cell *m = &run.cell
    cdef cnp.ndarray one, dWx = gradients[0], dWh = gradients[1], db = gradients[2]
    cdef fr_index first_h = (m.input + k.lanes - 1) // k.lanes
    cdef fr_index columns = dWx.shape[1], rows = 0, chunk, i, j, n, width
    cdef fr_index end = m.schedule.steps, first
    b.parts[0] = GradientPart(0, m.input, 0, run.layout_x, cnp.PyArray_DATA(dWx), columns)
    b.parts[1] = GradientPart(
        first_h, m.hidden, run.h_vector, run.layout_h, cnp.PyArray_DATA(dWh), columns
    )
    b.parts[2] = GradientPart(-1, 1, 0, run.layout_x, cnp.PyArray_DATA(db), columns)
    b.part_count = 3 + run.extra_part(gradients, &b.parts[3])
    for i in range(b.part_count):
        rows += b.parts[i].rows
    b.operands = reserve_pointers(scratch, rows)
    b.results = reserve_pointers(scratch, rows)
    n = 0
    for i in range(b.part_count):
        width = packed_columns(k, &b.parts[i].layout)
        b.packed[i] = run.reserve(scratch, b.parts[i].rows * width, zeroed=True)
        for j in range(b.parts[i].rows):
            b.results[n] = <char *>b.packed[i] + j * width * k.itemsize
            n += 1
    chunk = 0
    while end > 0:
        first = chunk_before(&m.schedule, end)
        chunk = max(chunk, m.schedule.offset[end] - m.schedule.offset[first])
        end = first
    b.chunk_rows = reserve_pointers(scratch, 2 * chunk)
    b.m.dgates = run.reserve(scratch, chunk * run.layout_x.panels * 4 * k.lanes)
    b.m.operand = run.reserve(
        scratch, chunk * (first_h * k.lanes + (1 + (b.m.wh_n_t != NULL)) * m.ld)
    )
    one = np.ones(1, dWx.dtype)
    scratch.append(one)
    b.one = cnp.PyArray_DATA(one)
    return 0
