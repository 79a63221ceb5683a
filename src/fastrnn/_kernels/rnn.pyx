"""Plain RNN: the functions of `fastrnn._reference.rnn`, compiled."""

cimport numpy as cnp
import numpy as np

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.layout cimport plain_layout
from fastrnn._kernels.recurrent cimport SINGLE_ROWS, Recurrence
from fastrnn._kernels.simd cimport fr_index, fr_kernels

cnp.import_array()


cdef class RNNRecurrence(Recurrence):
    """One plain block of columns; h itself is all that the backward needs."""

    cdef int describe(self, bint relu) except -1:
        self.step = self.kernels.rnn_step
        self.backward_step = self.kernels.rnn_backward_step
        self.layout_x = plain_layout(self.kernels, self.cell.hidden)
        self.layout_h = self.layout_x
        self.h_gate = 0
        self.gated = False
        self.cell.relu = relu
        return 0


def rnn_forward(
    x, h0, Wx, Wh, b, *, nonlinearity, lengths, bint reverse, bint train, num_threads=None,
    out=None,
):
    cdef RNNRecurrence run = RNNRecurrence()
    run.begin(x, Wx, Wh, lengths, reverse)
    run.describe(nonlinearity == "relu")
    y = np.empty((*x.shape[:2], Wh.shape[0]), x.dtype) if out is None else out
    (h,) = run.forward(b, [h0], y, train, num_threads)
    return y, h, run if train else None


def rnn_backward(dy, dh, RNNRecurrence stash not None, *, num_threads=None):
    dWx, dWh = np.empty_like(stash.Wx), np.empty_like(stash.Wh)
    db = np.empty(dWx.shape[1], dWx.dtype)
    dx, (dh0,) = stash.backward(dy, [dh], [dWx, dWh, db], num_threads)
    return dx, dh0, dWx, dWh, db


def rnn_step(cnp.ndarray x, cnp.ndarray h, cnp.ndarray Wx, cnp.ndarray Wh, cnp.ndarray b, *,
             nonlinearity):
    cdef fr_index rows = x.shape[0], input = x.shape[1], hidden = h.shape[1], r
    if rows > SINGLE_ROWS:
        return rnn_forward(
            x[:, None], h, Wx, Wh, b, nonlinearity=nonlinearity, lengths=None, reverse=False,
            train=False,
        )[1]
    cdef fr_index itemsize = cnp.PyArray_ITEMSIZE(x)
    cdef const fr_kernels *k = kernels_for(itemsize)
    cdef bint relu = nonlinearity == "relu"
    cdef cnp.ndarray h_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        for r in range(rows):
            k.rnn_single(
                cnp.PyArray_BYTES(x) + r * input * itemsize, input,
                cnp.PyArray_BYTES(h) + r * hidden * itemsize, hidden,
                cnp.PyArray_DATA(Wx), cnp.PyArray_DATA(Wh), cnp.PyArray_DATA(b), relu,
                cnp.PyArray_BYTES(h_next) + r * hidden * itemsize,
            )
        restore_mode(mode)
    return h_next
