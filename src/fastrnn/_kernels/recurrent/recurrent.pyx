"""One direction of one layer over a batch: what it needs to run forward and backward."""

cimport numpy as cnp
import numpy as np
from libc.string cimport memset

from fastrnn._kernels.linalg.matrix cimport reserve_pointers
from fastrnn._kernels.linalg.packing cimport packed_columns, packed_transposed
from fastrnn._kernels.recurrent.backward cimport (
    Backward, GradientPart, largest_chunk, run_backward
)
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.recurrent.weights cimport (
    Weights, give_scratch, reserve_numbers, scratch_numbers, work_of
)
from fastrnn._kernels.recurrent.embedding_projection cimport embedding_gradients, project_embedding
from fastrnn._kernels.recurrent.forward cimport Projection, run_forward
from fastrnn._kernels.pointwise.row_sums cimport row_sums
from fastrnn._kernels.runtime.cpu cimport joined_bytes
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer, empty_like
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups, choose_groups
from fastrnn._kernels.runtime.threads cimport begin_call, end_call
from fastrnn._kernels.simd cimport (
    FR_INT8, fr_cell, fr_index, fr_int8_row_bytes, fr_kernels, fr_view
)

cnp.import_array()

# Rows for which x is projected at a time, where it does not join the product of every step.
cdef fr_index PROJECTION_ROWS = 96


cdef class Recurrence:
    """One direction of one layer over one batch; after a forward in training, its tape.

    `begin` comes first, then `forward` and, after one in training, `backward`. The arrays are those
    of one direction: states (N, H), y a part of the layer's. `first_h` is the
    vector at which h begins in the operand of the weight gradients. With an `embedding`, x holds
    the numbers of its rows.
    """

    cdef int begin(
        self, cnp.ndarray x, Weights weights, object lengths, bint reverse, object embedding=None
    ) except -1:
        cdef fr_index lanes = weights.kernels.lanes
        self.kernels, self.weights, self.tape = weights.kernels, weights, []
        # A backward trusts the ids, so they are not the caller's.
        self.x, self.embedding = x if embedding is None else x.copy(), embedding
        self.batch = BatchOrder(x.shape[0], x.shape[1], lengths, reverse)
        self.cell.batch = self.batch.c
        weights.shape_of(&self.cell)
        self.first_h = 0 if embedding is not None else (self.cell.input + lanes - 1) // lanes

    cdef void *reserve(self, list owner, fr_index count, bint zeroed=False) except NULL:
        """Memory for `count` numbers that lives as long as `owner`."""
        return reserve_numbers(owner, self.kernels, count, zeroed)

    cdef ThreadGroups groups(self, object num_threads, double forwards):
        """How threads share the multiply-adds of so many forwards."""
        cdef fr_cell *m = &self.cell
        cdef fr_index weights = self.weights.multiply_adds()
        return choose_groups(
            num_threads, forwards * m.batch.offset[m.batch.steps] * weights, m.batch.rows,
            m.batch.steps * self.weights.meetings, m.vectors, weights,
        )

    def forward_once(
        self, Weights weights not None, x, list states, list finals, y, lengths, bint reverse,
        bint train, drop_h, embedding, masks, num_threads,
    ):
        """A forward that packs the weights for itself."""
        weights.pack(num_threads)
        self.begin(x, weights, lengths, reverse, embedding)
        self.forward(states, finals, y, train, num_threads, drop_h, masks)
        weights.drop()

    cdef int forward(
        self, list states, list finals, object y, bint train, object num_threads, object drop_h,
        object masks=None,
    ) except -1:
        """Run every step on packed weights; writes y and the final states."""
        cdef const fr_kernels *k = self.kernels
        cdef Projection projection
        cdef list scratch = []
        cdef ThreadGroups groups = self.groups(num_threads, 1)
        cdef Call call
        self.open_forward(states, y, train, scratch, drop_h, masks)
        plan_projection(self, &projection, scratch, groups, num_threads)
        projection.work = work_of(scratch, k, &self.cell, groups.threads)
        begin_call(&call, groups.threads)
        with nogil:
            run_forward(k, self.weights.step, &self.cell, &projection, groups, &call)
        end_call(&call)
        self.batch.clear_padding(y)
        self.close_forward(finals)

    cdef int open_forward(
        self, list states, object y, bint train, list scratch, object drop_h=None,
        object masks=None,
    ) except -1:
        """Everything that the steps read and write; what only they need goes to `scratch`."""
        cdef fr_cell *m = &self.cell
        cdef fr_index i
        self.weights.give(m)
        m.x = self.view(self.tape, self.x)
        m.y = self.view(scratch, y)
        for i in range(len(states)):
            m.slots[i] = 1 if i and self.weights.in_place else 2
            if train:
                m.slots[i] = m.batch.steps + 1
            m.state[i] = self.state_rows(self.tape, m.slots[i], states[i])
        m.tape_rows = m.batch.offset[m.batch.steps]
        self.weights.open_tape(m, self.tape, train, masks, self.batch)
        if drop_h is not None:
            m.drop_h = self.state_rows(self.tape, 1, drop_h)
            m.dropped_h = self.state_rows(scratch, 2, states[0])
            self.kernels.multiply_rows(m.dropped_h, m.drop_h, m.batch.rows * m.ld)
        cdef fr_index numbers = scratch_numbers(m, self.kernels.lanes)
        if numbers:
            give_scratch(m, self.reserve(scratch, numbers), self.kernels.itemsize)

    cdef int close_forward(self, list finals) except -1:
        """Write the final states; keep no way to what is about to go."""
        cdef fr_cell *m = &self.cell
        m.wx = m.wh = m.bias = m.wh_n = m.reset_h = m.pre_activations = m.dropped_h = NULL
        m.carried = m.partial = NULL
        m.y.row = NULL
        self.copy_states(finals, m.state, m.slots)

    cdef fr_view view(self, list owner, object array):
        """A caller's array in processing order."""
        return self.batch.view(array, reserve_pointers(owner, self.cell.batch.rows))

    cdef int copy_states(
        self, list out, void *const *states, const fr_index *slots
    ) except -1:
        """Write the states or, in one slot each, their gradients, in the caller's order: (N, H)."""
        cdef fr_index row_bytes = self.cell.ld * self.kernels.itemsize, i
        for i in range(len(out)):
            self.batch.copy_out(
                out[i], <const char *>states[i], slots[i] if slots else 1, row_bytes
            )

    def backward(
        self, object dy, list dstates, list dstates0, tuple gradients, object num_threads
    ):
        """Returns dx; fills the gradients of the initial states and of the weights."""
        cdef list scratch = []
        cdef Backward b
        cdef Call call
        self.check_shapes()
        cdef ThreadGroups groups = self.groups(num_threads, 2)
        cdef cnp.ndarray dx = empty_like(self.x if self.embedding is None else self.embedding)
        self.open_backward(&b, dy, dx, dstates, gradients, scratch, num_threads)
        b.work = work_of(scratch, self.kernels, &self.cell, groups.threads)
        begin_call(&call, groups.threads)
        with nogil:
            run_backward(&b, groups, &call)
        end_call(&call)
        if self.embedding is None:
            self.batch.clear_padding(dx)
        else:
            embedding_gradients(&b, b.wx_t, self.embedding, dx, gradients[0], num_threads)
        self.copy_states(dstates0, b.m.dstate, NULL)
        return dx

    cdef int open_backward(
        self, Backward *b, object dy, object dx, list dstates, tuple gradients, list scratch,
        object num_threads,
    ) except -1:
        """Everything that the steps read and write, which lives as long as `scratch`."""
        cdef const fr_kernels *k = self.kernels
        cdef Weights weights = self.weights
        cdef Buffer wx_t = packed_transposed(k, weights.Wx, &weights.layout_x, num_threads)
        cdef Buffer wh_t = weights.transposed(num_threads)
        cdef fr_index i
        scratch += (wx_t, wh_t)
        memset(b, 0, sizeof(Backward))
        b.kernels = k
        b.m.cell, b.step, b.layout_x = self.cell, weights.backward_step, weights.layout_x
        b.wx_t, b.m.wh_t = wx_t.data, NULL if wh_t is None else wh_t.data
        b.m.dy = self.view(scratch, dy)
        if self.embedding is None:
            b.dx = self.view(scratch, dx)
        else:
            self.open_sums(b, scratch, len(self.embedding), self.x, self.cell.x)
            b.m.cell.input = 0  # h alone is the operand of the chunks
            b.dx = self.cell.x  # is pointed to, not written
        for i in range(len(dstates)):
            b.m.dstate[i] = self.state_rows(scratch, 1, dstates[i])
        weights.backward_extras(&b.m, scratch, num_threads)
        plan_gradients(self, b, scratch, gradients)
        if self.batch.c.steps == 0:
            for gradient in gradients:
                if gradient is not None:
                    gradient.fill(0)

    cdef int open_sums(
        self, Backward *b, list scratch, fr_index count, object ids, fr_view ids_view
    ) except -1:
        """Sums of the dgates that belong to each of `count` rows of an embedding."""
        cdef fr_index panels = b.layout_x.panels, panel = 4 * self.kernels.lanes
        cdef void *sums = self.reserve(scratch, panels * count * panel, zeroed=True)
        b.ids = ids_view
        b.sums = row_sums(self.kernels, scratch, sums, count, ids, panels, panel)

    cdef int check_shapes(self) except -1:
        """Refuse a backward after somebody has reshaped, in place, what the tape refers to."""
        cdef fr_cell *m = &self.cell
        width = self.x.shape[2:] if self.embedding is None else self.embedding.shape[1:]
        longer = m.batch.rows and self.x.shape[1] != self.batch.length
        found = self.x.shape[0], width
        if longer or found != (m.batch.rows, (m.input,)) or not self.weights.fits():
            raise ValueError("backward: x, Wx and Wh must have the shapes that forward found")

    cdef void *state_rows(self, list owner, fr_index slots, object state) except NULL:
        """Slots for a state or its gradient in processing order, a copy of it in the first."""
        cdef fr_index ld = self.cell.ld
        cdef void *rows = self.reserve(owner, slots * self.cell.batch.rows * ld)
        self.batch.copy_in(<char *>rows, ld * self.kernels.itemsize, state)
        return rows


cdef int plan_projection(
    Recurrence run, Projection *plan, list scratch, ThreadGroups groups, object num_threads
) except -1:
    """Decide whether x is projected ahead of the loop.

    It joins the product of every step if a thread has more than one row and the weights stay in its
    cache from step to step; docs/decisions.md has the figures.
    """
    cdef const fr_kernels *k = run.kernels
    cdef fr_index columns = packed_columns(k, &run.weights.layout_x)
    cdef fr_index group_count = groups.threads // groups.per_group
    cdef fr_index share = (run.cell.batch.rows + group_count - 1) // group_count
    cdef Buffer projected
    plan.wx, plan.memory, plan.projected = run.cell.wx, NULL, NULL
    plan.layout = run.weights.layout_x
    if run.embedding is not None:
        projected = project_embedding(k, run.weights, run.weights.wx, run.embedding, num_threads)
        scratch.append(projected)
        plan.projected = <const char *>projected.data
    elif run.weights.unpacked:  # for one step
        return 0
    elif share > 1 and run.weights.weight_bytes() <= joined_bytes():
        return 0
    run.cell.wx = NULL
    # With fewer threads than asked for, those that share units may all have to share all rows.
    plan.chunk_rows = max(PROJECTION_ROWS, share if groups.per_group == 1 else run.cell.batch.rows)
    plan.thread_bytes = plan.chunk_rows * (
        2 * sizeof(void *) + (0 if plan.projected else columns * k.itemsize)
    )
    if run.cell.format == FR_INT8:
        plan.thread_bytes += plan.chunk_rows * (
            fr_int8_row_bytes(run.cell.int8, run.cell.input) + sizeof(float)
        )
    plan.thread_bytes = (plan.thread_bytes + 63) // 64 * 64
    plan.memory = <char *>run.reserve(scratch, groups.threads * plan.thread_bytes // k.itemsize)


cdef int plan_gradients(Recurrence run, Backward *b, list scratch, tuple gradients) except -1:
    """Lay out the parts of the weight gradients and the memory of a chunk."""
    cdef const fr_kernels *k = run.kernels
    cdef fr_cell *m = &run.cell
    cdef cnp.ndarray one
    cdef fr_index gates = run.weights.chunk_gates(m) * k.lanes
    cdef fr_index operand = (run.first_h + run.weights.chunk_operands(m)) * k.lanes
    cdef fr_index rows = 0, i, j, n = 0
    cdef Buffer parts = Buffer(run.weights.most_parts(), sizeof(GradientPart))
    scratch.append(parts)
    b.parts = <GradientPart *>parts.data
    b.part_count = run.weights.gradient_parts(&b.m.cell, run.first_h, gradients, b.parts)
    for i in range(b.part_count):
        rows += b.parts[i].rows
    b.operands = reserve_pointers(scratch, rows)
    b.results = reserve_pointers(scratch, rows)
    for i in range(b.part_count):
        for j in range(b.parts[i].rows):
            b.results[n] = b.parts[i].out + j * b.parts[i].out_bytes
            n += 1
    b.row_bytes = (gates + operand) * k.itemsize
    cdef fr_index chunk = largest_chunk(&m.batch, b.row_bytes)
    b.chunk_rows = reserve_pointers(scratch, 3 * chunk)
    b.m.dgates = run.reserve(scratch, chunk * gates)
    b.m.operand = run.reserve(scratch, chunk * operand)
    one = np.ones(1, gradients[0].dtype)
    scratch.append(one)
    b.one = cnp.PyArray_DATA(one)
