"""What the kernels know of each cell: its functions in C, and how its gates are packed."""

cimport numpy as cnp

from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_transposed, plain_layout
from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.runtime.memory cimport Buffer, empty_like
from fastrnn._kernels.simd cimport (
    fr_cell, fr_cell_backward, fr_index, fr_kernels, fr_layout
)

cnp.import_array()

# Where gates lie among the columns of a matrix, in our order or, second, in that of textbooks.
cdef fr_index LSTM_GATES[2][4]
LSTM_GATES[0][:] = [0, 1, 2, 3]  # i, f, g, o
LSTM_GATES[1][:] = [2, 0, 1, 3]
# The gates of a GRU as x meets them (n, r, z) and as h does (r, z, and n if reset comes after).
cdef fr_index GRU_GATES_X[2][3]
cdef fr_index GRU_GATES_H[2][3]
GRU_GATES_X[0][:] = [2, 0, 1]
GRU_GATES_X[1][:] = [2, 1, 0]
GRU_GATES_H[0][:] = [0, 1, 2]
GRU_GATES_H[1][:] = [1, 0, 2]
cdef fr_index GRU_GATE_N[1]
cdef fr_index ONLY[1]
GRU_GATE_N[:] = [2]
ONLY[:] = [0]


cdef Weights cell_weights(object cell, object arrays, object options):
    """The weights of one direction of a layer of the cell, given in the order of `cell.weights`."""
    return FACTORIES[cell.name](*arrays, **options)


def rnn_weights(Wx, Wh, b, *, nonlinearity="tanh"):
    """One plain block of columns; h itself is all that the backward needs."""
    cdef Weights weights = Weights(Wx, Wh, b)
    weights.step = weights.kernels.rnn_step
    weights.backward_step = weights.kernels.rnn_backward_step
    weights.layout_x = weights.layout_h = plain_layout(weights.kernels, weights.hidden())
    weights.relu = nonlinearity == "relu"
    return weights


def lstm_weights(Wx, Wh, b, *, bint textbook=False):
    """i, f, g, o of the same hidden units side by side."""
    cdef Weights weights = Weights(Wx, Wh, b)
    weights.step = weights.kernels.lstm_step
    weights.backward_step = weights.kernels.lstm_backward_step
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 4, LSTM_GATES[textbook])
    weights.layout_h = weights.layout_x
    weights.gated = True
    return weights


def gru_weights(Wx, Wh, b, bh, *, bint textbook=False):
    """n, r, z of the same hidden units side by side; reset before the product without `bh`."""
    cdef Weights weights = GRUWeights(Wx, Wh, b, bh)
    weights.step = weights.kernels.gru_step
    weights.backward_step = weights.kernels.gru_backward_step
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 3, GRU_GATES_X[textbook])
    weights.layout_h = gate_layout(
        weights.kernels, weights.hidden(), 2 if bh is None else 3, GRU_GATES_H[textbook]
    )
    weights.h_gate = 1
    weights.gated = True
    weights.complement = textbook
    return weights


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
        return 0

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
        return 0

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


cdef dict FACTORIES = {"rnn": rnn_weights, "lstm": lstm_weights, "gru": gru_weights}
