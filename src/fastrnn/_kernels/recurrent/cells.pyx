"""What the kernels know of each cell: its functions in C, and how its gates are packed."""

from libc.string cimport memset

from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_transposed, plain_layout
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.runtime.cpu cimport cell_kernels, kernels_for
from fastrnn._kernels.runtime.memory cimport Buffer, empty_like
from fastrnn._kernels.simd cimport (
    fr_cell, fr_cell_backward, fr_cell_kernels, fr_cell_single, fr_index, fr_layout
)

from fastrnn._cells import CELLS

cdef fr_index ONLY[1]
ONLY[:] = [0]


cdef class GateOrder:
    """Where each gate of a cell lies among the columns: in our order or, second, in textbooks'."""

    cdef fr_index[2][4] columns

    def __cinit__(self, cell):
        for i, library in enumerate(("fastrnn", "textbook")):
            order = cell.order(library)
            for j, gate in enumerate(cell.gates):
                self.columns[i][j] = order.index(gate)


cdef dict ORDERS = {cell.name: GateOrder(cell) for cell in CELLS.values()}


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
    cdef bint textbook = False
    memset(m, 0, sizeof(fr_cell_single))
    if options:
        textbook = options.get("textbook", False)
        m.relu, m.complement = options.get("nonlinearity") == "relu", textbook
    m.order = (<GateOrder>ORDERS[name]).columns[textbook]
    return cell_kernels(kernels_for(itemsize), name)


# --- factories: (name, arrays, whether the gates lie as in textbooks) -> Weights -----------------

def rnn_weights(name, arrays, bint textbook):
    """One plain block of columns; h itself is all that the backward needs."""
    cdef Weights weights = Weights(name, *arrays)
    weights.layout_x = weights.layout_h = plain_layout(weights.kernels, weights.hidden())
    return weights


def lstm_weights(name, arrays, bint textbook):
    """i, f, g, o of the same hidden units side by side."""
    cdef Weights weights = Weights(name, *arrays)
    cdef const fr_index *order = (<GateOrder>ORDERS[name]).columns[textbook]
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 4, order)
    weights.layout_h = weights.layout_x
    weights.gated = True
    return weights


def gru_weights(name, arrays, bint textbook):
    """n, r, z as x meets them, r, z and, if reset comes after the product, n as h does."""
    cdef Weights weights = GRUWeights(name, *arrays)
    cdef const fr_index *order = (<GateOrder>ORDERS[name]).columns[textbook]
    cdef fr_index[3] order_x = [order[2], order[0], order[1]]
    cdef fr_index gates_h = 2 if weights.bh is None else 3
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 3, order_x)
    weights.layout_h = gate_layout(weights.kernels, weights.hidden(), gates_h, order)
    weights.h_gate = 1
    weights.gated = True
    weights.complement = textbook
    return weights


cdef dict FACTORIES = {"rnn": rnn_weights, "lstm": lstm_weights, "gru": gru_weights}


cdef fr_index GRU_GATE_N[1]
GRU_GATE_N[:] = [2]  # in either order


cdef class GRUWeights(Weights):
    """The weights of a GRU, reset after or before the product; see simd/cells/gru-inl.h."""

    cdef int pack_extras(self, object num_threads) except -1:
        cdef fr_layout layout
        if self.bh is not None:
            layout = gate_layout(self.kernels, self.hidden(), 1, ONLY)
            self.bias_h = packed(self.kernels, self.bh, &layout, num_threads)
        else:
            layout = plain_layout(self.kernels, self.hidden(), 2 * self.hidden())
            self.wh_n = packed(self.kernels, self.Wh, &layout, num_threads)

    cdef tuple gradients(self, fr_index ahead=0):
        dbh = None if self.bh is None else empty_like(self.bh)
        return *Weights.gradients(self, ahead), dbh

    cdef int backward_extras(
        self, fr_cell_backward *m, list scratch, object num_threads
    ) except -1:
        cdef fr_layout layout
        cdef Buffer buffer
        if self.bh is None or m.cell.drop_h:
            buffer = Buffer(m.cell.batch.rows * m.cell.ld, self.kernels.itemsize)
            scratch.append(buffer)
            m.dreset_h = buffer.data
        if self.bh is None:
            layout = gate_layout(self.kernels, self.hidden(), 1, GRU_GATE_N)
            buffer = packed_transposed(self.kernels, self.Wh, &layout, num_threads)
            scratch.append(buffer)
            m.wh_n_t = buffer.data

    cdef int extra_part(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *part
    ) except -1:
        """That of bh or, for a reset before the product, that of Wh_n, whose operand is r*h."""
        cdef fr_layout layout
        if self.bh is not None:
            layout = gate_layout(self.kernels, self.hidden(), 1, ONLY)
            part[0] = gradient_part(-1, 1, 3, &layout, gradients[3])
        else:
            layout = gate_layout(self.kernels, self.hidden(), 1, GRU_GATE_N)
            part[0] = gradient_part(
                first_h + m.ld // self.kernels.lanes, self.hidden(), 0, &layout, gradients[1]
            )
        return 1
