"""GRU, reset after and before: the functions of `fastrnn._reference.gru`, compiled."""

cimport numpy as cnp

from fastrnn._kernels.recurrent.backward cimport GradientPart, gradient_part
from fastrnn._kernels.runtime.cpu cimport (
    cell_kernels, flush_denormals, kernels_for, restore_mode
)
from fastrnn._kernels.recurrent.prepacked cimport Frozen
from fastrnn._kernels.linalg.packing cimport gate_layout, packed, packed_transposed, plain_layout
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.recurrent.recurrent cimport SINGLE_ROWS, Recurrence
from fastrnn._kernels.simd cimport fr_cell_kernels, fr_cell_single, fr_index, fr_layout
from fastrnn._kernels.recurrent.weights cimport Weights

cnp.import_array()

# Gates as x meets them (n, r, z) and as h does (r, z, and n where reset comes after): where they
# lie among the columns r, z, n or, second, z, r, n of textbooks.
cdef fr_index GATES_X[2][3]
cdef fr_index GATES_H[2][3]
cdef fr_index GATE_N[1]
GATES_X[0][:] = [2, 0, 1]
GATES_H[0][:] = [0, 1, 2]
GATES_X[1][:] = [2, 1, 0]
GATES_H[1][:] = [1, 0, 2]
GATE_N[:] = [2]
cdef fr_index ONLY[1]
ONLY[:] = [0]


cdef class GRUWeights(Weights):
    """n, r, z, q of the same hidden units side by side; see simd/cells/gru-inl.h."""

    cdef int pack_extras(self, object num_threads) except -1:
        cdef fr_layout layout
        if self.bh is not None:
            layout = gate_layout(self.kernels, self.hidden(), 1, ONLY)
            self.bias_h = packed(self.kernels, self.bh, &layout, num_threads)
        else:
            layout = plain_layout(self.kernels, self.hidden(), 2 * self.hidden())
            self.wh_n = packed(self.kernels, self.Wh, &layout, num_threads)
        return 0


cdef Weights gru_weights(object Wx, object Wh, object b, object bh, bint textbook=False):
    cdef Weights weights = GRUWeights("gru", Wx, Wh, b, bh)
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 3, GATES_X[textbook])
    weights.layout_h = gate_layout(
        weights.kernels, weights.hidden(), 2 if bh is None else 3, GATES_H[textbook]
    )
    weights.complement = textbook
    weights.h_gate = 1
    weights.gated = True
    return weights


cdef class GRURecurrence(Recurrence):
    """The tape of a GRU, and what its backward needs beside that of the other cells."""

    cdef int backward_extras(
        self, list scratch, const void **wh_n_t, void **dreset_h, object num_threads
    ) except -1:
        cdef fr_layout layout
        cdef Buffer buffer
        if self.weights.bh is None or self.cell.drop_h:
            dreset_h[0] = self.reserve(scratch, self.cell.batch.rows * self.cell.ld)
        if self.weights.bh is not None:
            return 0
        layout = gate_layout(self.kernels, self.cell.hidden, 1, GATE_N)
        buffer = packed_transposed(self.kernels, self.weights.Wh, &layout, num_threads)
        scratch.append(buffer)
        wh_n_t[0] = buffer.data
        return 0

    cdef int extra_part(self, list gradients, GradientPart *part):
        cdef fr_layout layout
        if self.weights.bh is not None:
            layout = gate_layout(self.kernels, self.cell.hidden, 1, ONLY)
            part[0] = gradient_part(-1, 1, 3, &layout, gradients[3])
        else:
            layout = gate_layout(self.kernels, self.cell.hidden, 1, GATE_N)
            part[0] = gradient_part(
                self.first_h + self.cell.ld // self.kernels.lanes, self.cell.hidden, 0, &layout,
                gradients[1],
            )
        return 1


def gru_forward(
    x, h0, Wx, Wh, b, bh, *, lengths, bint reverse, bint train, num_threads=None, out=None,
    bint textbook=False, drop_h=None, embedding=None,
):
    cdef GRURecurrence run = GRURecurrence()
    cdef Weights weights = gru_weights(Wx, Wh, b, bh, textbook)
    return run.forward_once(
        x, weights, [h0], lengths, reverse, train, num_threads, out, drop_h, embedding
    )


def gru_backward(dy, dh, GRURecurrence stash not None, *, num_threads=None):
    dWx, dWh = empty_like(stash.weights.Wx), empty_like(stash.weights.Wh)
    db = empty((dWx.shape[1],), dWx.dtype)
    dbh = None if stash.weights.bh is None else empty_like(stash.weights.bh)
    dx, (dh0,) = stash.backward(dy, [dh], [dWx, dWh, db, dbh], num_threads)
    return dx, dh0, dWx, dWh, db, dbh


def gru_freeze(cells, *, directions, residual, owners, num_threads=None):
    """The stacked `cells`, each given by its weights, packed once; see `Frozen`."""
    stack = [gru_weights(Wx, Wh, b, bh) for Wx, Wh, b, bh in cells]
    return Frozen(stack, directions, 1, residual, owners, num_threads)


def gru_step(cnp.ndarray x, cnp.ndarray h, cnp.ndarray Wx, cnp.ndarray Wh, cnp.ndarray b,
             cnp.ndarray bh, *, bint textbook=False):
    cdef fr_index rows = x.shape[0], input = x.shape[1], hidden = h.shape[1], r
    if rows > SINGLE_ROWS:
        return gru_forward(
            x[:, None], h, Wx, Wh, b, bh, lengths=None, reverse=False, train=False,
            textbook=textbook,
        )[1]
    cdef fr_index itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef const fr_cell_kernels *cell = cell_kernels(kernels_for(itemsize), "gru")
    cdef fr_cell_single m
    cdef cnp.ndarray h_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    cdef Buffer work = Buffer(cell.work_per_unit * hidden, itemsize)
    cdef unsigned mode
    m.input, m.hidden, m.order, m.work = input, hidden, GATES_H[textbook], work.data
    m.wx, m.wh, m.b = cnp.PyArray_DATA(Wx), cnp.PyArray_DATA(Wh), cnp.PyArray_DATA(b)
    m.bh = NULL if bh is None else cnp.PyArray_DATA(bh)
    m.complement = textbook
    with nogil:
        mode = flush_denormals()
        for r in range(rows):
            m.x = cnp.PyArray_BYTES(x) + r * input * itemsize
            m.h = cnp.PyArray_BYTES(h) + r * hidden * itemsize
            m.h_next = cnp.PyArray_BYTES(h_next) + r * hidden * itemsize
            cell.single(&m)
        restore_mode(mode)
    return h_next
