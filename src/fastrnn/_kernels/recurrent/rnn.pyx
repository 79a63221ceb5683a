"""Plain RNN: the functions of `fastrnn._reference.rnn`, compiled."""

cimport numpy as cnp

from fastrnn._kernels.runtime.cpu cimport (
    cell_kernels, flush_denormals, kernels_for, restore_mode
)
from fastrnn._kernels.recurrent.prepacked cimport Frozen
from fastrnn._kernels.linalg.packing cimport plain_layout
from fastrnn._kernels.runtime.memory cimport empty, empty_like
from fastrnn._kernels.recurrent.recurrent cimport SINGLE_ROWS, Recurrence
from fastrnn._kernels.simd cimport fr_cell_kernels, fr_cell_single, fr_index
from fastrnn._kernels.recurrent.weights cimport Weights

cnp.import_array()


cdef class RNNRecurrence(Recurrence):
    """The tape of an RNN."""


cdef Weights rnn_weights(object Wx, object Wh, object b, object nonlinearity):
    """One plain block of columns; h itself is all that the backward needs."""
    cdef Weights weights = Weights("rnn", Wx, Wh, b)
    weights.layout_x = plain_layout(weights.kernels, weights.hidden())
    weights.layout_h = weights.layout_x
    weights.h_gate = 0
    weights.gated = False
    weights.relu = nonlinearity == "relu"
    return weights


def rnn_forward(
    x, h0, Wx, Wh, b, *, nonlinearity, lengths, bint reverse, bint train, num_threads=None,
    out=None, drop_h=None, embedding=None,
):
    cdef RNNRecurrence run = RNNRecurrence()
    cdef Weights weights = rnn_weights(Wx, Wh, b, nonlinearity)
    return run.forward_once(
        x, weights, [h0], lengths, reverse, train, num_threads, out, drop_h, embedding
    )


def rnn_backward(dy, dh, RNNRecurrence stash not None, *, num_threads=None):
    dWx, dWh = empty_like(stash.weights.Wx), empty_like(stash.weights.Wh)
    db = empty((dWx.shape[1],), dWx.dtype)
    dx, (dh0,) = stash.backward(dy, [dh], [dWx, dWh, db], num_threads)
    return dx, dh0, dWx, dWh, db


def rnn_freeze(cells, *, directions, residual, owners, nonlinearity, num_threads=None):
    """The stacked `cells`, each given by its weights, packed once; see `Frozen`."""
    stack = [rnn_weights(Wx, Wh, b, nonlinearity) for Wx, Wh, b in cells]
    return Frozen(stack, directions, 1, residual, owners, num_threads)


def rnn_step(cnp.ndarray x, cnp.ndarray h, cnp.ndarray Wx, cnp.ndarray Wh, cnp.ndarray b, *,
             nonlinearity):
    cdef fr_index rows = x.shape[0], input = x.shape[1], hidden = h.shape[1], r
    if rows > SINGLE_ROWS:
        return rnn_forward(
            x[:, None], h, Wx, Wh, b, nonlinearity=nonlinearity, lengths=None, reverse=False,
            train=False,
        )[1]
    cdef fr_index itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef const fr_cell_kernels *cell = cell_kernels(kernels_for(itemsize), "rnn")
    cdef fr_cell_single m
    cdef cnp.ndarray h_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    cdef unsigned mode
    m.input, m.hidden, m.relu = input, hidden, nonlinearity == "relu"
    m.wx, m.wh, m.b = cnp.PyArray_DATA(Wx), cnp.PyArray_DATA(Wh), cnp.PyArray_DATA(b)
    with nogil:
        mode = flush_denormals()
        for r in range(rows):
            m.x = cnp.PyArray_BYTES(x) + r * input * itemsize
            m.h = cnp.PyArray_BYTES(h) + r * hidden * itemsize
            m.h_next = cnp.PyArray_BYTES(h_next) + r * hidden * itemsize
            cell.single(&m)
        restore_mode(mode)
    return h_next
