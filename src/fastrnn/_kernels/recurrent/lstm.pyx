"""LSTM: the functions of `fastrnn._reference.lstm`, compiled."""

cimport numpy as cnp

from fastrnn._kernels.runtime.cpu cimport (
    cell_kernels, flush_denormals, kernels_for, restore_mode
)
from fastrnn._kernels.recurrent.prepacked cimport Frozen
from fastrnn._kernels.linalg.packing cimport gate_layout
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.recurrent.recurrent cimport SINGLE_ROWS, Recurrence
from fastrnn._kernels.simd cimport fr_cell_kernels, fr_cell_single, fr_index
from fastrnn._kernels.recurrent.weights cimport Weights

cnp.import_array()

# Where i, f, g, o lie among the columns: in this order or, second, as f, g, i, o of textbooks.
cdef fr_index GATES[2][4]
GATES[0][:] = [0, 1, 2, 3]
GATES[1][:] = [2, 0, 1, 3]


cdef class LSTMRecurrence(Recurrence):
    """The tape of an LSTM."""


cdef Weights lstm_weights(object Wx, object Wh, object b, bint textbook=False):
    """i, f, g, o of the same hidden units side by side."""
    cdef Weights weights = Weights("lstm", Wx, Wh, b)
    weights.layout_x = gate_layout(weights.kernels, weights.hidden(), 4, GATES[textbook])
    weights.layout_h = weights.layout_x
    weights.h_gate = 0
    weights.gated = True
    return weights


def lstm_forward(
    x, h0, c0, Wx, Wh, b, *, lengths, bint reverse, bint train, num_threads=None, out=None,
    bint textbook=False, drop_h=None, embedding=None,
):
    cdef LSTMRecurrence run = LSTMRecurrence()
    cdef Weights weights = lstm_weights(Wx, Wh, b, textbook)
    return run.forward_once(
        x, weights, [h0, c0], lengths, reverse, train, num_threads, out, drop_h, embedding
    )


def lstm_backward(dy, dh, dc, LSTMRecurrence stash not None, *, num_threads=None):
    dWx, dWh = empty_like(stash.weights.Wx), empty_like(stash.weights.Wh)
    db = empty((dWx.shape[1],), dWx.dtype)
    dx, (dh0, dc0) = stash.backward(dy, [dh, dc], [dWx, dWh, db], num_threads)
    return dx, dh0, dc0, dWx, dWh, db


def lstm_freeze(cells, *, directions, residual, owners, num_threads=None):
    """The stacked `cells`, each given by its weights, packed once; see `Frozen`."""
    stack = [lstm_weights(Wx, Wh, b) for Wx, Wh, b in cells]
    return Frozen(stack, directions, 2, residual, owners, num_threads)


def lstm_step(cnp.ndarray x, cnp.ndarray h, cnp.ndarray c, cnp.ndarray Wx, cnp.ndarray Wh,
              cnp.ndarray b, *, bint textbook=False):
    cdef fr_index rows = x.shape[0], input = x.shape[1], hidden = h.shape[1], r
    if rows > SINGLE_ROWS:
        return lstm_forward(
            x[:, None], h, c, Wx, Wh, b, lengths=None, reverse=False, train=False,
            textbook=textbook,
        )[1:3]
    cdef fr_index itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef const fr_cell_kernels *cell = cell_kernels(kernels_for(itemsize), "lstm")
    cdef fr_cell_single m
    cdef cnp.ndarray h_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    cdef cnp.ndarray c_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    cdef Buffer work = Buffer(cell.work_per_unit * hidden, itemsize)
    cdef unsigned mode
    m.input, m.hidden, m.order, m.work = input, hidden, GATES[textbook], work.data
    m.wx, m.wh, m.b = cnp.PyArray_DATA(Wx), cnp.PyArray_DATA(Wh), cnp.PyArray_DATA(b)
    with nogil:
        mode = flush_denormals()
        for r in range(rows):
            m.x = cnp.PyArray_BYTES(x) + r * input * itemsize
            m.h = cnp.PyArray_BYTES(h) + r * hidden * itemsize
            m.c = cnp.PyArray_BYTES(c) + r * hidden * itemsize
            m.h_next = cnp.PyArray_BYTES(h_next) + r * hidden * itemsize
            m.c_next = cnp.PyArray_BYTES(c_next) + r * hidden * itemsize
            cell.single(&m)
        restore_mode(mode)
    return h_next, c_next
