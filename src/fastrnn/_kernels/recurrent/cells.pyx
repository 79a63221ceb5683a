"""What the kernels know of each cell: its functions in C, its weights and how they are packed."""

cimport numpy as cnp
from libc.string cimport memset

from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_transposed, plain_layout
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.recurrent.program cimport ProgramWeights
from fastrnn._kernels.recurrent.weights cimport Weights, reserve_numbers
from fastrnn._kernels.runtime.cpu cimport cell_kernels, kernels_for
from fastrnn._kernels.runtime.memory cimport Buffer, empty_like
from fastrnn._kernels.simd cimport (
    fr_cell, fr_cell_backward, fr_cell_kernels, fr_cell_single, fr_index, fr_kernels, fr_layout
)

from fastrnn._cells import CELLS

cnp.import_array()


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
    cdef Weights weights
    if cell.program is not None:
        return ProgramWeights(cell, arrays)
    weights = FACTORIES[cell.name](cell.name, arrays, bool(options.get("textbook")))
    weights.relu = options.get("nonlinearity") == "relu"
    return weights


cdef int begin(Weights weights, str name, object arrays) except -1:
    """Give a cell's arrays and functions to new weights."""
    cdef const fr_kernels *kernels = kernels_for((<cnp.ndarray>arrays[2]).itemsize)
    weights.begin(kernels, cell_kernels(kernels, name), arrays)


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


# --- factories: (name, arrays, whether the gates lie as in textbooks) -> Weights -----------------

def rnn_weights(name, arrays, bint textbook):
    """One plain block of columns; h itself is all that the backward needs."""
    cdef Weights weights = Weights()
    begin(weights, name, arrays)
    weights.layout_x = weights.layout_h = plain_layout(weights.kernels, weights.hidden)
    return weights


def lstm_weights(name, arrays, bint textbook):
    """i, f, g, o of the same hidden units side by side."""
    cdef Weights weights = Weights()
    begin(weights, name, arrays)
    cdef const fr_index *order = (<GateOrder>ORDERS[name]).columns[textbook]
    weights.layout_x = gate_layout(weights.kernels, weights.hidden, 4, order)
    weights.layout_h = weights.layout_x
    weights.gated = True
    return weights


def gru_weights(name, arrays, bint textbook):
    """n, r, z as x meets them, r, z and, if reset comes after the product, n as h does."""
    cdef GRUWeights weights = GRUWeights()
    begin(weights, name, arrays)
    weights.bh = arrays[3]
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
    cdef bint complement
    cdef object bh
    cdef Buffer bias_h, wh_n

    cdef int pack(self, object num_threads) except -1:
        cdef fr_layout plain = plain_layout(self.kernels, self.hidden, 2 * self.hidden)
        Weights.pack(self, num_threads)
        if self.bh is not None:
            self.bias_h = packed(self.kernels, self.bh, &self.layout_n, num_threads)
        else:
            self.wh_n = self.packed_copy(self.Wh, &plain, num_threads)

    cdef void drop(self) noexcept:
        """Keep `bias_h`, by which a backward knows its variant."""
        Weights.drop(self)
        self.wh_n = None

    cdef void give(self, fr_cell *m) noexcept:
        Weights.give(self, m)
        m.bias_h = NULL if self.bias_h is None else self.bias_h.data
        m.wh_n = NULL if self.wh_n is None else self.wh_n.data
        m.complement = self.complement

    cdef tuple gradients(self, fr_index ahead=0):
        dbh = None if self.bh is None else empty_like(self.bh)
        return *Weights.gradients(self, ahead), dbh

    cdef fr_index chunk_operands(self, const fr_cell *m) noexcept:
        """h and, for a reset before, r*h."""
        return m.vectors * (1 + (self.bh is None))

    cdef int backward_extras(self, fr_cell_backward *m, list scratch, object num_threads) except -1:
        cdef Buffer buffer
        if self.bh is None or m.cell.drop_h:
            m.dreset_h = reserve_numbers(scratch, self.kernels, m.cell.batch.rows * m.cell.ld)
        if self.bh is None:
            buffer = packed_transposed(self.kernels, self.Wh, &self.layout_n, num_threads)
            scratch.append(buffer)
            m.wh_n_t = buffer.data

    cdef int gradient_parts(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *parts
    ) except -1:
        """A fourth one is that of bh or, for a reset before, that of Wh_n, whose operand is r*h."""
        cdef int count = Weights.gradient_parts(self, m, first_h, gradients, parts)
        if self.bh is not None:
            parts[count] = gradient_part(-1, 1, 3, &self.layout_n, gradients[3])
        else:
            parts[count] = gradient_part(
                first_h + m.vectors, self.hidden, 0, &self.layout_n, gradients[1]
            )
        return count + 1
