"""Stacked cells whose weights are packed once, and calls of the whole stack at once.

A step of a small model takes a microsecond or two, so here nothing is created but the results, and
arguments are only compared with what needs no conversion.
"""

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._kernels.recurrent.weights cimport (
    Weights, give_scratch, scratch_numbers, work_bytes
)
from fastrnn._kernels.recurrent.forward cimport Projection, run_forward
from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.interrupt cimport Call, ignore_signals
from fastrnn._kernels.runtime.memory cimport Buffer, new_array
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups, choose_groups
from fastrnn._kernels.runtime.threads cimport begin_call, end_call
from fastrnn._kernels.simd cimport (
    fr_batch, fr_cell, fr_index, fr_leave_flag, fr_take_flag, fr_view
)

from functools import partial

from fastrnn._cells import FIRST_RESIDUAL as _FIRST_RESIDUAL
from fastrnn._kernels.recurrent.directions import run_directions

cnp.import_array()

# Multiply-adds from which other Python threads may run meanwhile: about two microseconds.
cdef double LONG_WORK = 1e5
# The first layer, counted from 0, that may be residual.
cdef fr_index FIRST_RESIDUAL = _FIRST_RESIDUAL


cdef bint adds_inputs(bint residual, fr_index layer) noexcept nogil:
    """Whether this layer of a stack adds its inputs to its outputs."""
    return residual and layer >= FIRST_RESIDUAL


cdef class Prepacked:
    """Cells layer by layer, in each the forward direction first.

    If `residual`, layers from the third on add their inputs to their outputs.

    `step` and `forward` return None, and have done nothing, where the arguments are not arrays that
    the kernels can read as they are, where the packed weights are those of another instruction set
    than the one in use, or where one of `owners`, the arrays that they were packed from, has been
    made writeable again.
    """

    def __cinit__(
        self, list cells not None, directions, states, bint residual, owners, num_threads
    ):
        cdef Weights weights = cells[0]
        cdef fr_cell *m
        cdef fr_index i, state
        self.cells, self.owners = tuple(cells), tuple(owners)
        self.count, self.directions, self.states = len(cells), directions, states
        self.meetings = weights.meetings
        self.residual = adds_inputs(residual, self.count // self.directions - 1)
        self.kernels, self.kernel = weights.kernels, weights.step
        self.typenum = cnp.PyArray_TYPE(weights.b)
        self.input, self.hidden, self.output = weights.input, weights.hidden, weights.output
        self.prototypes = Buffer(self.count, sizeof(fr_cell), zeroed=True)
        self.prototype = <fr_cell *>self.prototypes.data
        for i, weights in enumerate(self.cells):
            weights.pack(num_threads)
            m = &self.prototype[i]
            weights.give(m)
            weights.shape_of(m)
            m.slots[0] = 2
            for state in range(1, self.states):
                m.slots[state] = 1 if weights.in_place else 2
            self.row_work += weights.multiply_adds()
            self.widest = max(self.widest, weights.input)

    def step(self, x, state, out):
        """One time step: out, or a new (y, state) where it is None."""
        cdef fr_index rows = cnp.PyArray_DIM(x, 0) if is_array(x, 2) else 0
        if (
            rows == 0 or self.directions == 2 or self.stale()
            or not accepts(self, x, False, rows, self.input)
            or state is not None and not accepts_state(self, state, False, rows)
            or out is not None and not accepts_out(self, out, rows)
        ):
            return None
        if out is None:
            out = new(self, rows, self.output), self.state(rows)
        self.compute(x, state, out, rows)
        return out

    cdef int compute(self, object x, object state, object out, fr_index rows) except -1:
        """Run a step on accepted arguments."""
        cdef double work = rows * self.row_work
        cdef ThreadGroups groups = choose_groups(
            None, work / self.count, rows, self.meetings, self.prototype.vectors,
            <fr_index>(self.row_work / self.count),
        )
        cdef const void *x_data = cnp.PyArray_DATA(x)
        cdef Buffer scratch
        cdef StepMemory memory
        cdef Call call
        # Or another Python thread has it, which is in the middle of a step.
        cdef bint own = fr_take_flag(&self.scratch_taken)
        try:
            scratch = self.scratch_for(rows, groups.threads, own)
            memory = self.memory_at(<char *>scratch.data, rows)
            self.load(&memory, state, rows)
            if work < LONG_WORK:
                ignore_signals(&call)
                self.run(&memory, rows, x_data, groups, &call)
            else:
                begin_call(&call, groups.threads)
                with nogil:
                    self.run(&memory, rows, x_data, groups, &call)
                end_call(&call)
            self.store(&memory, out, rows)
        finally:
            if own:
                fr_leave_flag(&self.scratch_taken)

    cdef Buffer scratch_for(self, fr_index rows, int threads, bint own):
        """The memory of a step: that of the object if this call has it, else one of its own."""
        cdef Buffer scratch
        if own and rows == self.scratch_rows and threads <= self.scratch_threads:
            return self.scratch
        scratch = Buffer(self.memory_at(NULL, rows, threads).bytes, 1)
        if own:
            self.scratch, self.scratch_rows, self.scratch_threads = scratch, rows, threads
        return scratch

    def forward(self, x, state, lengths, num_threads):
        """Run over time: a new (y, state). `lengths` and `num_threads` have been checked."""
        cdef fr_index rows = 0, steps = 0, layer
        if is_array(x, 3):
            rows, steps = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
        if (
            rows == 0 or steps == 0 or self.stale() or not accepts_input(self, x)
            or state is not None and not accepts_state(self, state, False, rows)
        ):
            return None
        if state is None:
            state = self.state(rows, zeroed=True)
        final = self.state(rows)
        for layer in range(self.count // self.directions):
            y = new(self, rows, steps, self.directions * self.output)
            self.run_layer(layer, x, lengths, num_threads, state, final, y)
            if adds_inputs(self.residual, layer):
                y += x
            x = y
        return x, final

    cdef int run_layer(self, fr_index layer, x, lengths, num_threads, state, final, y) except -1:
        """All directions of a layer."""
        cdef fr_index first = self.directions * layer, H = self.output
        cdef Weights weights = self.cells[first]
        if self.directions == 1:
            return self.run_cell(first, x, lengths, state, final, y, num_threads)
        calls = [
            partial(self.run_cell, first + d, x, lengths, state, final, y[..., d * H : (d + 1) * H])
            for d in range(2)
        ]
        work = <double>y.shape[0] * y.shape[1] * weights.multiply_adds()
        run_directions(calls, work, num_threads)

    cpdef int run_cell(self, fr_index index, x, lengths, state, final, y, num_threads) except -1:
        """One direction of one layer."""
        cdef Recurrence run = Recurrence.__new__(Recurrence)
        run.begin(x, self.cells[index], lengths, index % self.directions == 1)
        states = [part[index] for part in ((state,) if self.states == 1 else state)]
        finals = [part[index] for part in ((final,) if self.states == 1 else final)]
        run.forward(states, finals, y, False, num_threads, None)

    cdef bint stale(self) noexcept:
        """Whether the packed weights may not be those that a call should use."""
        if self.kernels != kernels_for(self.kernels.itemsize):
            return True
        for owner in self.owners:
            if cnp.PyArray_ISWRITEABLE(owner):
                return True
        return False

    cdef object state(self, fr_index rows, bint zeroed=False):
        """A new state."""
        parts = [
            new(self, self.count, rows, width_of(self, part), zeroed) for part in range(self.states)
        ]
        return parts[0] if self.states == 1 else tuple(parts)

    cdef StepMemory memory_at(self, char *block, fr_index rows, int threads=1) noexcept nogil:
        """Lay out the memory of a step; `bytes` says how much it is."""
        cdef StepMemory memory
        cdef fr_cell m = self.prototype[0]
        cdef fr_index state_bytes = rows * m.ld * self.kernels.itemsize, i
        cdef char *end = block + (2 * rows * sizeof(void *) + 63) // 64 * 64
        memory.cell, memory.state_bytes = self.prototype, state_bytes
        memory.x = <void **>block
        for i in range(self.states):
            memory.states[i] = end
            end += m.slots[i] * self.count * state_bytes
        memory.scratch = end
        m.batch.rows = rows
        end += scratch_numbers(&m, self.kernels.lanes) * self.kernels.itemsize
        memory.sum = end if self.residual else NULL
        end += state_bytes if self.residual else 0
        memory.work = NULL
        m.input = self.widest
        cdef fr_index work = work_bytes(self.kernels, &m)
        if work:
            memory.work = block + (end - block + 63) // 64 * 64
            end = memory.work + threads * work
        memory.bytes = end - block
        return memory

    cdef void load(self, const StepMemory *memory, object state, fr_index rows) noexcept:
        """Take the state in, before any result is written: the caller's arrays may be the same."""
        cdef fr_index ld = self.prototype.ld * self.kernels.itemsize, i, part
        cdef fr_index size
        if state is None:
            memset(memory.states[0], 0, memory.scratch - memory.states[0])
            return
        for part in range(self.states):
            size = width_of(self, part) * self.kernels.itemsize
            for i in range(self.count):
                copy_rows(
                    rows_of_state(memory, part, i, False), ld,
                    part_of(self, state, part) + i * rows * size, size, rows, size,
                )

    cdef void store(self, const StepMemory *memory, object out, fr_index rows) noexcept:
        """Write y and the state to the caller's arrays."""
        cdef fr_index ld = self.prototype.ld * self.kernels.itemsize, i, part
        cdef fr_index size
        cdef const char *y = rows_of_state(memory, 0, self.count - 1, True)
        for part in range(self.states):
            size = width_of(self, part) * self.kernels.itemsize
            for i in range(self.count):
                copy_rows(
                    part_of(self, (<tuple>out)[1], part) + i * rows * size, size,
                    rows_of_state(memory, part, i, True), ld, rows, size,
                )
        if self.residual:
            y = memory.sum
        size = self.output * self.kernels.itemsize
        copy_rows(cnp.PyArray_BYTES((<tuple>out)[0]), size, y, ld, rows, size)

    cdef void run(
        self, const StepMemory *memory, fr_index rows, const void *x, ThreadGroups groups,
        Call *call,
    ) noexcept nogil:
        """One step of every cell, each on the outputs of the one before."""
        cdef fr_index batch_sizes = rows, i, r, part
        cdef fr_index[2] offset = [0, rows]
        cdef void **y = memory.x + rows
        cdef fr_index itemsize = self.kernels.itemsize
        cdef fr_index x_bytes = self.input * itemsize
        cdef const char *source = <const char *>x
        cdef char *new_h
        cdef fr_cell m
        cdef Projection none
        none.memory, none.work = NULL, memory.work
        for i in range(self.count):
            m = self.prototype[i]
            m.batch = fr_batch(rows=rows, steps=1, batch_sizes=&batch_sizes, offset=&offset[0])
            for part in range(self.states):
                m.state[part] = rows_of_state(memory, part, i, False)
            give_scratch(&m, memory.scratch, itemsize)
            new_h = rows_of_state(memory, 0, i, True)
            for r in range(rows):
                memory.x[r] = <void *>(source + r * x_bytes)
                y[r] = new_h + r * m.ld * itemsize
            m.x, m.y = fr_view(memory.x, 0), fr_view(y, 0)
            run_forward(self.kernels, self.kernel, &m, &none, groups, call)
            source, x_bytes = new_h, m.ld * itemsize
            if adds_inputs(self.residual, i):
                self.kernels.add_rows(memory.sum, new_h, rows * m.ld)
                source = memory.sum
            elif adds_inputs(self.residual, i + 1):
                memcpy(memory.sum, new_h, memory.state_bytes)


cdef char *rows_of_state(
    const StepMemory *memory, fr_index state, fr_index cell, bint after
) noexcept nogil:
    """Where the rows of a cell's state begin, before a step or after it."""
    cdef fr_index slots = memory.cell.slots[state]
    return memory.states[state] + (slots * cell + after % slots) * memory.state_bytes


cdef inline fr_index width_of(Prepacked p, fr_index part) noexcept:
    """Numbers of a row of the state h (0) or of another one."""
    return p.hidden if part else p.output


cdef inline char *part_of(Prepacked p, object state, fr_index part) noexcept:
    """Where the numbers of h (0) or of another one begin in the caller's state."""
    return cnp.PyArray_BYTES(state if p.states == 1 else (<tuple>state)[part])


cdef object new(Prepacked p, fr_index first, fr_index second, fr_index third=0, bint zeroed=False):
    """A new array."""
    cdef cnp.npy_intp[3] shape = [first, second, third]
    cdef int dims = 3 if third else 2
    if zeroed:
        return cnp.PyArray_ZEROS(dims, shape, p.typenum, 0)
    return new_array(dims, shape, p.typenum)


cdef void copy_rows(
    char *to, fr_index to_bytes, const char *source, fr_index source_bytes, fr_index rows,
    fr_index size,
) noexcept nogil:
    """Copy rows of `size` bytes that begin so many bytes apart, and zero what is left of each."""
    cdef fr_index r
    if to_bytes == size and source_bytes == size:
        memcpy(to, source, rows * size)
        return
    for r in range(rows):
        memcpy(to + r * to_bytes, source + r * source_bytes, size)
        memset(to + r * to_bytes + size, 0, to_bytes - size)


# --- whether a call's arguments can be taken as they are ------------------------------------------

cdef inline bint is_array(object value, int dims) noexcept:
    return cnp.PyArray_CheckExact(value) and cnp.PyArray_NDIM(value) == dims


cdef bint accepts(
    Prepacked p, object value, bint written, fr_index first, fr_index second, fr_index third=0
) noexcept:
    """Whether this is an array of this shape that a kernel can read or write."""
    cdef int dims = 3 if third else 2
    if not is_array(value, dims) or cnp.PyArray_TYPE(value) != p.typenum:
        return False
    if not (cnp.PyArray_ISCARRAY(value) if written else cnp.PyArray_ISCARRAY_RO(value)):
        return False
    cdef cnp.npy_intp *shape = cnp.PyArray_DIMS(value)
    return shape[0] == first and shape[1] == second and (dims == 2 or shape[2] == third)


cdef bint accepts_input(Prepacked p, object x) noexcept:
    """Whether the kernels can read this (N, T, D): rows may lie anywhere."""
    return (
        cnp.PyArray_TYPE(x) == p.typenum and cnp.PyArray_ISBEHAVED_RO(x)
        and cnp.PyArray_DIM(x, 2) == p.input
        and (p.input == 1 or cnp.PyArray_STRIDE(x, 2) == p.kernels.itemsize)
    )


cdef bint accepts_state(Prepacked p, object state, bint written, fr_index rows) noexcept:
    cdef fr_index part
    if p.states == 1:
        return accepts(p, state, written, p.count, rows, p.output)
    if type(state) is not tuple or len(<tuple>state) != p.states:
        return False
    for part in range(p.states):
        if not accepts(p, (<tuple>state)[part], written, p.count, rows, width_of(p, part)):
            return False
    return True


cdef bint accepts_out(Prepacked p, object out, fr_index rows) noexcept:
    """Whether a step can write to this (y, state)."""
    return (
        type(out) is tuple and len(<tuple>out) == 2
        and accepts(p, (<tuple>out)[0], True, rows, p.output)
        and accepts_state(p, (<tuple>out)[1], True, rows)
    )
