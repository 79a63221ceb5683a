"""The arrays of one cell in one direction, as the kernels read them."""

cimport numpy as cnp

from fastrnn._kernels.linalg.low_precision cimport format_of, packed_weights
from fastrnn._kernels.linalg.packing cimport packed, packed_columns, packed_transposed
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.runtime.cpu cimport int8_kernels, plan_of
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.simd cimport (
    FR_INT8, fr_cell, fr_cell_backward, fr_cell_kernels, fr_code, fr_elements, fr_index,
    fr_int8_work, fr_kernels
)

cnp.import_array()

# Rows a multiple of so many bytes apart would meet in few sets of a cache: they lie a line farther.
cdef fr_index ALIAS_BYTES = 1024, LINE_BYTES = 64


cdef class Weights:
    """The arrays of one cell; packed once for each call, or once for all if it is frozen.

    A factory (`cells.pyx`) sets `layout_x` and `layout_h` (how the gates as seen by x and by h are
    packed), `h_gate` (the first of the latter in a panel of dgates) and `gated` (whether the
    backward needs the activated gates). A subclass has what one cell needs beside that.
    """

    def __cinit__(self):
        self.in_place, self.meetings = True, 1

    cdef int begin(
        self, const fr_kernels *kernels, const fr_cell_kernels *functions, object arrays
    ) except -1:
        """Take the arrays, of which only the first three are here."""
        self.kernels = kernels
        self.step, self.backward_step = functions.step, functions.backward_step
        self.Wx, self.Wh, self.b = arrays[:3]
        self.input, self.hidden = self.Wx.shape[0], self.Wh.shape[0]
        self.output = self.hidden
        self.format, self.int8 = format_of(self.Wx), int8_kernels()

    cdef int pack(self, object num_threads) except -1:
        """Make the packed copies of the arrays as they are now."""
        self.packed = []
        self.wx = self.packed_copy(self.Wx, &self.layout_x, num_threads)
        self.wh = self.packed_copy(self.Wh, &self.layout_h, num_threads)
        self.bias = packed(self.kernels, self.b, &self.layout_x, num_threads)

    cdef Buffer packed_copy(self, object matrix, const fr_layout *layout, object num_threads):
        return packed_weights(self.kernels, matrix, layout, self.packed, num_threads)

    cdef void drop(self) noexcept:
        """Forget the packed copies that only a forward reads."""
        self.wx = self.wh = self.bias = None

    cdef void give(self, fr_cell *m) noexcept:
        """Point a cell's call to the packed copies."""
        m.plan = plan_of(self.kernels)
        m.wx, m.wh, m.bias = self.wx.data, self.wh.data, self.bias.data
        m.format, m.int8 = self.format, self.int8
        m.relu = self.relu

    cdef void shape_of(self, fr_cell *m) noexcept:
        """The sizes of a cell's call, and how far apart rows of its state lie."""
        cdef fr_index lanes = self.kernels.lanes
        m.input, m.hidden, m.output = self.input, self.hidden, self.output
        m.vectors = (self.hidden + lanes - 1) // lanes
        m.ld = row_length(m.vectors * lanes, self.kernels.itemsize)

    cdef tuple gradients(self, fr_index ahead=0):
        """New arrays for the gradients of all weights; dWx has so many rows more in front."""
        rows, columns = self.Wx.shape
        dtype = self.Wx.dtype
        return empty((ahead + rows, columns), dtype), empty_like(self.Wh), empty((columns,), dtype)

    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1:
        """Set what only this cell's backward reads; scratch memory goes to `scratch`."""

    cdef fr_index multiply_adds(self) noexcept:
        """Those of one step of one row: the numbers in the packed matrices."""
        return (self.input + self.hidden) * packed_columns(self.kernels, &self.layout_x)

    cdef fr_index weight_bytes(self) noexcept:
        """Bytes of the packed matrices, by which a choice is made."""
        return fr_elements(self.format, self.multiply_adds()) * self.kernels.itemsize

    cdef bint fits(self) except -1:
        """Whether the arrays still have the shapes that a forward found."""
        shapes = self.Wx.shape[0], self.Wh.shape[0], self.Wh.shape[1]
        return shapes == (self.input, self.hidden, self.Wx.shape[1])

    cdef Buffer transposed(self, object num_threads):
        """Wh for the backward, or None where h meets no weights."""
        return packed_transposed(self.kernels, self.Wh, &self.layout_h, num_threads)

    cdef int open_tape(
        self, fr_cell *m, list tape, bint train, object masks, BatchOrder batch
    ) except -1:
        """Set what a forward leaves for its backward, beside the states."""
        if train and self.gated:
            m.gates = reserve_numbers(
                tape, self.kernels, m.vectors * 4 * self.kernels.lanes * m.tape_rows
            )

    cdef int most_parts(self) noexcept:
        """How many parts of the weight gradients there may be."""
        return 4

    cdef fr_index chunk_gates(self, const fr_cell *m) noexcept:
        """Vectors of a row of dgates in a chunk."""
        return 4 * self.layout_x.panels

    cdef fr_index chunk_operands(self, const fr_cell *m) noexcept:
        """Vectors of a row that meet dgates in a chunk, beside x."""
        return m.vectors

    cdef int gradient_parts(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *parts
    ) except -1:
        """Set the parts of the weight gradients; return how many they are."""
        parts[0] = gradient_part(0, m.input, 0, &self.layout_x, gradients[0])
        parts[1] = gradient_part(first_h, m.hidden, self.h_gate, &self.layout_h, gradients[1])
        parts[2] = gradient_part(-1, 1, 0, &self.layout_x, gradients[2])
        return 3


cdef fr_index row_length(fr_index numbers, fr_index itemsize) noexcept nogil:
    """How far apart rows of so many numbers lie."""
    if numbers * itemsize % ALIAS_BYTES == 0:
        return numbers + LINE_BYTES // itemsize
    return numbers


cdef void *reserve_numbers(
    list owner, const fr_kernels *kernels, fr_index count, bint zeroed=False
) except NULL:
    """Memory for `count` numbers that lives as long as `owner`."""
    cdef Buffer buffer = Buffer(count, kernels.itemsize, zeroed)
    owner.append(buffer)
    return buffer.data


cdef fr_index work_bytes(const fr_kernels *kernels, const fr_cell *m) noexcept nogil:
    """Scratch memory of a thread in the steps of a cell; 0 for most cells."""
    if m.program:
        return kernels.program_work
    return fr_int8_work(m) if m.format == FR_INT8 else 0


cdef char *work_of(
    list owner, const fr_kernels *kernels, const fr_cell *m, int threads
) except? NULL:
    """That of so many threads; NULL where there is none."""
    cdef Buffer buffer
    cdef fr_index size = work_bytes(kernels, m)
    if size == 0:
        return NULL
    buffer = Buffer(threads * size, 1)
    owner.append(buffer)
    return <char *>buffer.data


cdef fr_index scratch_numbers(const fr_cell *m, fr_index lanes) noexcept nogil:
    """What only the steps of a forward need of a cell's scratch memory, for all rows."""
    if m.program:
        return program_scratch(m, &m.program.forward, lanes)
    return 5 * m.batch.rows * m.ld if m.wh_n else 0


cdef void give_scratch(fr_cell *m, void *memory, fr_index itemsize) noexcept nogil:
    """Point a step to that memory."""
    if m.program:
        give_program_scratch(m, &m.program.forward, memory, itemsize)
    elif m.wh_n:
        m.reset_h, m.pre_activations = memory, <char *>memory + m.batch.rows * m.ld * itemsize


cdef fr_index program_scratch(
    const fr_cell *m, const fr_code *code, fr_index lanes
) noexcept nogil:
    cdef fr_index panels = (m.hidden + 4 * lanes - 1) // (4 * lanes)
    return m.batch.rows * (code.carried * m.ld + code.partial * panels * 2)


cdef void give_program_scratch(
    fr_cell *m, const fr_code *code, void *memory, fr_index itemsize
) noexcept nogil:
    m.carried = memory
    m.partial = <char *>memory + code.carried * m.batch.rows * m.ld * itemsize
