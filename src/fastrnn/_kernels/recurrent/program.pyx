"""Cells that are programs: their codes in C, and their weights.

Wx and Wh are packed gate by gate, in plain panels of four vectors, so that a cell may have any
number of gates.
"""

cimport numpy as cnp
from libc.string cimport memset

from fastrnn._kernels.linalg.matrix cimport reserve_pointers
from fastrnn._kernels.linalg.packing cimport (
    apart_layout, packed, packed_transposed, plain_layout
)
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.recurrent.weights cimport (
    Weights, give_program_scratch, program_scratch, reserve_numbers, row_length
)
from fastrnn._kernels.runtime.cpu cimport kernels_for, plan_of
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.simd cimport (
    FR_CARRIED, FR_DSTATE, FR_DSUM, FR_FIRST_CONSTANT, FR_FIRST_PLACE, FR_FIRST_ROW_VALUE,
    FR_FIRST_SUM, FR_MOST_CONSTANTS, FR_MOST_PLACES, FR_MOST_ROW_VALUES, FR_MOST_STATES,
    FR_MOST_SUMS, FR_NEXT, FR_STATE, FR_TAPE, FR_VECTOR, fr_cell, fr_cell_backward,
    fr_code, fr_index, fr_instruction, fr_kernels, fr_layout, fr_matrix, fr_phase, fr_place,
    fr_row_value, fr_run, fr_sum, fr_view,
)

from functools import lru_cache

from fastrnn._kernels.recurrent.program_compiler import compiled

cnp.import_array()

PLACES = {
    "state": FR_STATE, "next": FR_NEXT, "vector": FR_VECTOR, "carried": FR_CARRIED,
    "tape": FR_TAPE, "dstate": FR_DSTATE, "dsum": FR_DSUM,
}
# What `fr_op` has after the operations of program.def.
MEMORY_OPERATIONS = ("put_h", "load_dh", "keep", "add_up", "operand")

# The first number of each kind of value.
FIRST = {
    "register": 0, "sum": FR_FIRST_SUM, "place": FR_FIRST_PLACE, "row": FR_FIRST_ROW_VALUE,
    "constant": FR_FIRST_CONSTANT, "plain": 0,
}


def operation_numbers():
    """The numbers of `fr_op` by name."""
    cdef const char *const *names = kernels_for(4).op_names
    cdef list found = []
    while names[len(found)] != NULL:
        found.append((<bytes>names[len(found)]).decode())
    return {name: i for i, name in enumerate([*found, *MEMORY_OPERATIONS])}


@lru_cache(maxsize=256)
def code_of(cell):
    """The code of a cell."""
    return Code(cell)


cdef class Code:
    def __cinit__(self, cell):
        self.compiled, self.memory = compiled(cell), []
        if len(cell.states) > FR_MOST_STATES:
            raise ValueError(f"{cell.title}: at most {FR_MOST_STATES} states, got {cell.states}")
        memset(&self.c, 0, sizeof(self.c))
        numbers = operation_numbers()
        fill_code(&self.c.inference, self.compiled.inference, cell, numbers, self.memory)
        fill_code(&self.c.forward, self.compiled.forward, cell, numbers, self.memory)
        fill_code(&self.c.backward, self.compiled.backward, cell, numbers, self.memory)
        self.c.tape, self.c.row_tape = self.compiled.tape, self.compiled.row_tape
        self.c.x_gates, self.c.h_gates = len(cell.x_gates), len(cell.h_gates)
        cdef fr_run *runs = <fr_run *>room(self.memory, len(self.compiled.runs), sizeof(fr_run))
        for i, run in enumerate(self.compiled.runs):
            runs[<fr_index>i] = fr_run(run.first, run.gates, run.chunk)
        self.c.runs, self.c.run_count = runs, len(self.compiled.runs)


cdef void *room(list memory, fr_index count, size_t size) except NULL:
    cdef Buffer buffer = Buffer(max(1, count), size, True)
    memory.append(buffer)
    return buffer.data


cdef int fill_code(fr_code *c, object code, object cell, dict numbers, list memory) except -1:
    """Write what the compiler made to arrays of C."""
    phases = code.phases
    at_most(cell, "values that lie in memory", len(code.places), FR_MOST_PLACES)
    at_most(cell, "constants", len(code.constants), FR_MOST_CONSTANTS)
    for phase in phases:
        at_most(cell, "sums in a phase", len(phase.sums), FR_MOST_SUMS)
        at_most(cell, "means in a phase", len(phase.row_values), FR_MOST_ROW_VALUES)
    c.carried, c.partial = code.carried, code.partial
    c.place_count, c.phase_count = len(code.places), len(phases)
    c.register_count = code.registers
    cdef fr_place *places = <fr_place *>room(memory, len(code.places), sizeof(fr_place))
    for i, (kind, index) in enumerate(code.places):
        places[<fr_index>i] = fr_place(PLACES[kind], index)
    cdef fr_index n = sum(len(phase.code) for phase in phases), s = 0, k = 0, r = 0, i_phase
    cdef fr_instruction *instructions = <fr_instruction *>room(memory, n, sizeof(fr_instruction))
    n = sum(len(phase.sums) for phase in phases)
    cdef fr_sum *sums = <fr_sum *>room(memory, n, sizeof(fr_sum))
    n = sum(len(phase.row_values) for phase in phases)
    cdef fr_row_value *values = <fr_row_value *>room(memory, n, sizeof(fr_row_value))
    cdef fr_phase *all = <fr_phase *>room(memory, len(phases), sizeof(fr_phase))
    for i_phase, phase in enumerate(phases):
        all[i_phase] = fr_phase(
            s, s + len(phase.sums), k, k + len(phase.code), r, r + len(phase.row_values),
            phase.meet, phase.narrow,
        )
        for x, h, matrix, operand in phase.sums:
            sums[s] = fr_sum(x, h, matrix, operand)
            s += 1
        for op, to, x, y, z, constant in phase.code:
            instructions[k] = fr_instruction(
                numbers[op], number_of(to), number_of(x), number_of(y), number_of(z), constant
            )
            k += 1
        for partial, saved, rstd, eps in phase.row_values:
            values[r] = fr_row_value(partial, saved, rstd, eps)
            r += 1
    cdef double *constants = <double *>room(memory, len(code.constants), sizeof(double))
    for i, constant in enumerate(code.constants):
        constants[<fr_index>i] = constant
    c.constants, c.constant_count = constants, len(code.constants)
    c.code, c.places, c.sums, c.row_values, c.phases = instructions, places, sums, values, all


cdef short number_of(operand) except -1:
    """The number of a value; what is no value stands for itself."""
    kind, number = operand
    return FIRST[kind] + number


def at_most(cell, what, count, most):
    """Refuse a program that is too large."""
    if count > most:
        raise ValueError(f"{cell.title}: a step has at most {most} {what}, got {count}")


cdef class ProgramWeights(Weights):
    def __init__(self, cell, arrays):
        cdef const fr_kernels *kernels = kernels_for((<cnp.ndarray>arrays[0]).itemsize)
        named = dict(zip(cell.weights, arrays, strict=True))
        self.code, self.kernels = code_of(cell), kernels
        self.step, self.backward_step = kernels.program.step, kernels.program.backward_step
        self.order = cell.weights
        self.Wx, self.Wh, self.b = named["Wx"], named.get("Wh"), named["b"]
        self.vectors = tuple([named[name] for name in cell.program.vectors])
        self.matrices = tuple([
            named[name] for name in (*cell.program.matrices, cell.projection) if name is not None
        ])
        self.input, self.hidden = self.Wx.shape[0], len(self.b) // len(cell.x_gates)
        self.output = named[cell.projection].shape[1] if cell.projection else self.hidden
        self.layout_x = apart_layout(kernels, self.hidden, self.code.c.x_gates)
        self.layout_h = apart_layout(kernels, self.hidden, self.code.c.h_gates)
        self.in_place = False
        self.meetings = 1 + sum([phase.meet for phase in self.code.compiled.forward.phases])

    cdef int pack(self, object num_threads) except -1:
        cdef const fr_kernels *k = self.kernels
        if not self.unpacked:
            self.wx = packed(k, self.Wx, &self.layout_x, num_threads)
            self.wh = None if self.Wh is None else packed(k, self.Wh, &self.layout_h, num_threads)
        self.bias = packed(k, self.b, &self.layout_x, num_threads)
        self.copies = []
        self.vector = self.packed_vectors(self.copies, num_threads)
        self.matrix = self.packed_matrices(self.copies, False, num_threads)

    cdef const void **packed_vectors(self, list owner, object num_threads) except NULL:
        """Pointers to the weights of one number a hidden unit, in whole panels."""
        cdef fr_layout plain = plain_layout(self.kernels, self.hidden)
        cdef const void **result = <const void **>room(owner, len(self.vectors), sizeof(void *))
        cdef Buffer buffer
        for i, vector in enumerate(self.vectors):
            buffer = packed(self.kernels, vector, &plain, num_threads)
            owner.append(buffer)
            result[<fr_index>i] = buffer.data
        return result

    cdef fr_matrix *packed_matrices(
        self, list owner, bint transposed, object num_threads
    ) except NULL:
        """The matrices of products inside a step, packed, or their transposes."""
        cdef fr_matrix *result = <fr_matrix *>room(owner, len(self.matrices), sizeof(fr_matrix))
        cdef fr_layout plain
        cdef Buffer buffer
        for i, matrix in enumerate(self.matrices):
            matrix = matrix.T if transposed else matrix
            plain = plain_layout(self.kernels, matrix.shape[1])
            buffer = packed(self.kernels, matrix, &plain, num_threads)
            owner.append(buffer)
            result[<fr_index>i] = fr_matrix(buffer.data, matrix.shape[0])
        return result

    cdef void drop(self) noexcept:
        Weights.drop(self)
        self.copies = []

    cdef void give(self, fr_cell *m) noexcept:
        m.plan = plan_of(self.kernels)
        m.bias, m.unpacked = self.bias.data, self.unpacked
        if self.unpacked:
            m.wx = cnp.PyArray_DATA(self.Wx)
            m.wh = NULL if self.Wh is None else cnp.PyArray_DATA(self.Wh)
        else:
            m.wx, m.wh = self.wx.data, NULL if self.wh is None else self.wh.data
        m.program, m.vector, m.matrix = &self.code.c, self.vector, self.matrix

    cdef void shape_of(self, fr_cell *m) noexcept:
        Weights.shape_of(self, m)
        m.ld = row_length(self.layout_x.group * 4 * self.kernels.lanes, self.kernels.itemsize)

    cdef bint fits(self) except -1:
        hidden, output = self.hidden, self.output
        columns = self.code.c.h_gates * hidden
        return self.Wx.shape == (self.input, self.code.c.x_gates * hidden) and (
            self.Wh is None or self.Wh.shape == (output, columns)
        )

    cdef fr_index multiply_adds(self) noexcept:
        cdef fr_index products = 0
        for matrix in (self.Wx, self.Wh, *self.matrices):
            products += 0 if matrix is None else matrix.size
        return products

    cdef Buffer transposed(self, object num_threads):
        if self.Wh is None:
            return None
        return packed_transposed(self.kernels, self.Wh, &self.layout_h, num_threads)

    cdef tuple gradients(self, fr_index ahead=0):
        """In the order of the arrays."""
        rows, columns = self.Wx.shape
        first = [empty((ahead + rows, columns), self.Wx.dtype)]
        rest = [array for array in (self.Wh, self.b, *self.vectors, *self.matrices)]
        return tuple(first + [empty_like(array) for array in rest if array is not None])

    cdef int open_tape(
        self, fr_cell *m, list tape, bint train, object masks, BatchOrder batch
    ) except -1:
        cdef fr_index panel = self.layout_x.group * 4 * self.kernels.lanes
        if not train:
            return 0
        m.gates = reserve_numbers(tape, self.kernels, m.tape_rows * self.code.c.tape * panel)
        m.row_tape = reserve_numbers(tape, self.kernels, m.tape_rows * self.code.c.row_tape)
        if masks is not None:
            m.mask = mask_views(batch, masks, tape)

    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1:
        cdef const fr_code *code = &self.code.c.backward
        cdef fr_cell *cell = &m.cell
        cdef const fr_kernels *k = self.kernels
        cell.vector = self.packed_vectors(scratch, num_threads)
        cell.matrix = self.packed_matrices(scratch, True, num_threads)
        cdef void *memory = reserve_numbers(scratch, k, program_scratch(cell, code, k.lanes))
        give_program_scratch(cell, code, memory, k.itemsize)
        if cell.drop_h:
            m.dreset_h = reserve_numbers(scratch, k, cell.batch.rows * cell.ld)

    cdef int most_parts(self) noexcept:
        return <int>(2 + self.code.c.run_count + len(self.vectors) + len(self.matrices))

    cdef fr_index chunk_gates(self, const fr_cell *m) noexcept:
        """Vectors of all gates, and of the gradients of products and of vectors."""
        return 4 * self.layout_x.group * <fr_index>self.code.compiled.chunk

    cdef fr_index chunk_operands(self, const fr_cell *m) noexcept:
        return m.vectors * <fr_index>(1 + len(self.matrices))

    cdef int gradient_parts(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *parts
    ) except -1:
        cdef fr_index group = self.layout_x.group, i
        cdef dict found = dict(zip(self.order, gradients, strict=True))
        cdef fr_layout layout
        cdef int count = 2
        cdef const fr_run *run
        parts[0] = gradient_part(0, m.input, 0, &self.layout_x, found["Wx"])
        parts[1] = gradient_part(-1, 1, 0, &self.layout_x, found["b"])
        for i in range(self.code.c.run_count):
            run, layout = &self.code.c.runs[i], self.layout_h
            layout.first, layout.panels = run.first * group, run.gates * group
            parts[count] = gradient_part(first_h, m.output, 0, &layout, found["Wh"])
            parts[count].panel = run.chunk * group
            count += 1
        others = gradients[2 if self.Wh is None else 3 :]
        for array, gate in zip(others, self.code.compiled.vectors):
            layout = plain_layout(self.kernels, self.hidden)
            parts[count] = gradient_part(-1, 1, 0, &layout, array)
            parts[count].panel = <fr_index>gate * group
            count += 1
        for i, gate in enumerate(self.code.compiled.matrices):
            array = others[len(self.vectors) + i]
            layout = plain_layout(self.kernels, array.shape[1])
            parts[count] = gradient_part(
                first_h + (1 + i) * m.vectors, array.shape[0], 0, &layout, array
            )
            parts[count].panel = <fr_index>gate * group
            count += 1
        return count


cdef fr_view *mask_views(BatchOrder batch, cnp.ndarray masks, list owner) except NULL:
    """The masks (keeps, N, T, H) of one direction, bytes, in processing order."""
    cdef fr_index count = masks.shape[0], i
    cdef fr_view *views = <fr_view *>room(owner, count, sizeof(fr_view))
    owner.append(masks)
    for i in range(count):
        views[i] = batch.view(masks[i], reserve_pointers(owner, batch.c.rows))
    return views
