"""What the kernels know of each cell: its functions in C, its weights and how they are packed."""

cimport numpy as cnp
from libc.string cimport memset

from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_transposed, plain_layout
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.runtime.cpu cimport cell_kernels, kernels_for, plan_of
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.simd cimport (
    fr_cell, fr_cell_backward, fr_cell_kernels, fr_cell_single, fr_index, fr_kernels, fr_layout
)

from fastrnn._cells import CELLS

cnp.import_array()

# Rows a multiple of so many bytes apart would meet in few sets of a cache: they lie a line farther.
cdef fr_index ALIAS_BYTES = 1024, LINE_BYTES = 64


cdef class GateOrder:
    """Where each gate of a cell lies among the columns: in our order or, second, in textbooks'."""

    cdef fr_index[2][4] columns

    def __cinit__(self, cell):
        for i, library in enumerate(("fastrnn", "textbook")):
            order = cell.order(library)
            for j, gate in enumerate(cell.gates):
                self.columns[i][j] = order.index(gate)


cdef Weights cell_weights(object cell, object arrays, object options):
    """The weights of one direction of a layer of the cell, given in the order of `cell.weights`."""
    cdef Weights weights = FACTORIES[cell.name](cell.name, arrays, bool(options.get("textbook")))
    weights.relu = options.get("nonlinearity") == "relu"
    return weights


cdef const fr_cell_kernels *single_step(
    object cell, object options, fr_index itemsize, fr_cell_single *m
) except NULL:
    """The kernels of the cell; `m` becomes what the step of one row depends on beside arrays."""
    cdef str name = cell.name
    cdef const fr_cell_kernels *functions = cell_kernels(kernels_for(itemsize), name)
    cdef bint textbook = False
    memset(m, 0, sizeof(fr_cell_single))
    if options:
        textbook = options.get("textbook", False)
        m.relu, m.complement = options.get("nonlinearity") == "relu", textbook
    m.order = (<GateOrder>ORDERS[name]).columns[textbook]
    return functions


cdef class Weights:
    """The arrays of one cell; packed once for each call, or once for all if it is frozen.

    A factory below sets `layout_x` and `layout_h` (how the gates as seen by x and by h are packed),
    `h_gate` (the first of the latter in a panel of dgates) and `gated` (whether the backward needs
    the activated gates). A subclass has what one cell needs beside that.
    """

    def __cinit__(self, str cell, Wx, Wh, b, bh=None):
        self.kernels = kernels_for((<cnp.ndarray>Wx).itemsize)
        cdef const fr_cell_kernels *functions = cell_kernels(self.kernels, cell)
        self.step, self.backward_step = functions.step, functions.backward_step
        self.Wx, self.Wh, self.b, self.bh = Wx, Wh, b, bh
        self.input, self.hidden = Wx.shape[0], Wh.shape[0]

    cdef int pack(self, object num_threads) except -1:
        """Make the packed copies of the arrays as they are now."""
        self.wx = packed(self.kernels, self.Wx, &self.layout_x, num_threads)
        self.wh = packed(self.kernels, self.Wh, &self.layout_h, num_threads)
        self.bias = packed(self.kernels, self.b, &self.layout_x, num_threads)
        self.pack_extras(num_threads)

    cdef void drop(self) noexcept:
        """Forget the packed copies, except `bias_h`, by which a backward knows its variant."""
        self.wx = self.wh = self.bias = self.wh_n = None

    cdef void give(self, fr_cell *m) noexcept:
        """Point a cell's call to the packed copies."""
        m.plan = plan_of(self.kernels)
        m.wx, m.wh, m.bias = self.wx.data, self.wh.data, self.bias.data
        m.bias_h = NULL if self.bias_h is None else self.bias_h.data
        m.wh_n = NULL if self.wh_n is None else self.wh_n.data
        m.relu, m.complement = self.relu, self.complement

    cdef void shape_of(self, fr_cell *m) noexcept:
        """The sizes of a cell's call, and how far apart rows of its state lie."""
        cdef fr_index lanes = self.kernels.lanes
        m.input, m.hidden = self.input, self.hidden
        m.vectors = (self.hidden + lanes - 1) // lanes
        m.ld = m.vectors * lanes
        if m.ld * self.kernels.itemsize % ALIAS_BYTES == 0:
            m.ld += LINE_BYTES // self.kernels.itemsize

    cdef tuple gradients(self, fr_index ahead=0):
        """New arrays for the gradients of all weights; dWx has so many rows more in front."""
        rows, columns = self.Wx.shape
        dtype = self.Wx.dtype
        return empty((ahead + rows, columns), dtype), empty_like(self.Wh), empty((columns,), dtype)

    cdef int pack_extras(self, object num_threads) except -1:
        """Make `bias_h` and `wh_n`, if the cell has them."""

    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1:
        """Set what only this cell's backward reads; scratch memory goes to `scratch`."""

    cdef int extra_part(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *part
    ) except -1:
        """Set a fourth part of the weight gradients; return whether there is one."""


# --- factories: (name, arrays, whether the gates lie as in textbooks) -> Weights -----------------

def rnn_weights(name, arrays, bint textbook):
    """One plain block of columns; h itself is all that the backward needs."""
    cdef Weights weights = Weights(name, *arrays)
    weights.layout_x = weights.layout_h = plain_layout(weights.kernels, weights.hidden)
    return weights


def lstm_weights(name, arrays, bint textbook):
    """i, f, g, o of the same hidden units side by side."""
    cdef Weights weights = Weights(name, *arrays)
    cdef const fr_index *order = (<GateOrder>ORDERS[name]).columns[textbook]
    weights.layout_x = gate_layout(weights.kernels, weights.hidden, 4, order)
    weights.layout_h = weights.layout_x
    weights.gated = True
    return weights


def gru_weights(name, arrays, bint textbook):
    """n, r, z as x meets them, r, z and, if reset comes after the product, n as h does."""
    cdef GRUWeights weights = GRUWeights(name, *arrays)
    cdef const fr_kernels *k = weights.kernels
    cdef const fr_index *order = (<GateOrder>ORDERS[name]).columns[textbook]
    cdef fr_index[3] order_x = [order[2], order[0], order[1]]
    weights.layout_x = gate_layout(k, weights.hidden, 3, order_x)
    weights.layout_h = gate_layout(k, weights.hidden, 2 if weights.bh is None else 3, order)
    weights.layout_n = gate_layout(k, weights.hidden, 1, order + 2)
    if weights.bh is not None:
        weights.layout_n = gate_layout(k, weights.hidden, 1)
    weights.h_gate, weights.gated, weights.complement = 1, True, textbook
    return weights


cdef dict FACTORIES = {"rnn": rnn_weights, "lstm": lstm_weights, "gru": gru_weights}

# A row without kernels has no order here: it may have more gates than `columns` has room for.
cdef dict ORDERS = {name: GateOrder(CELLS[name]) for name in FACTORIES}


cdef class GRUWeights(Weights):
    """The weights of a GRU, reset after or before the product; see simd/cells/gru-inl.h.

    `layout_n` is how the gate n alone is packed: bh, or its part of Wh.
    """

    cdef fr_layout layout_n

    cdef int pack_extras(self, object num_threads) except -1:
        cdef fr_layout plain = plain_layout(self.kernels, self.hidden, 2 * self.hidden)
        if self.bh is not None:
            self.bias_h = packed(self.kernels, self.bh, &self.layout_n, num_threads)
        else:
            self.wh_n = packed(self.kernels, self.Wh, &plain, num_threads)

    cdef tuple gradients(self, fr_index ahead=0):
        dbh = None if self.bh is None else empty_like(self.bh)
        return *Weights.gradients(self, ahead), dbh

    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1:
        cdef Buffer buffer
        if self.bh is None or m.cell.drop_h:
            buffer = Buffer(m.cell.batch.rows * m.cell.ld, self.kernels.itemsize)
            scratch.append(buffer)
            m.dreset_h = buffer.data
        if self.bh is None:
            buffer = packed_transposed(self.kernels, self.Wh, &self.layout_n, num_threads)
            scratch.append(buffer)
            m.wh_n_t = buffer.data

    cdef int extra_part(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *part
    ) except -1:
        """That of bh or, for a reset before the product, that of Wh_n, whose operand is r*h."""
        if self.bh is not None:
            part[0] = gradient_part(-1, 1, 3, &self.layout_n, gradients[3])
        else:
            part[0] = gradient_part(
                first_h + m.vectors, self.hidden, 0, &self.layout_n, gradients[1]
            )
        return 1
