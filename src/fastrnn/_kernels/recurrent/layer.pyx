"""One layer of a cell in its directions: `fastrnn._reference.recurrent`, compiled.

Each direction is a `Recurrence` of its own, with its part of the layer's arrays; two may run at
once (`directions.py`).
"""

cimport numpy as cnp

from fastrnn._kernels.recurrent.cells cimport cell_weights, single_step
from fastrnn._kernels.recurrent.embedding_projection cimport worth_projecting
from fastrnn._kernels.recurrent.prepacked cimport Prepacked
from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.runtime.cpu cimport flush_denormals, restore_mode
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.simd cimport fr_cell_kernels, fr_cell_single, fr_index

from functools import partial

import numpy as np

from fastrnn._kernels.pointwise.embedding import embedding_backward, embedding_forward
from fastrnn._kernels.recurrent.directions import run_directions

cnp.import_array()

# Rows up to which a step streams the weights as they lie, once a row, instead of packing them.
cdef fr_index SINGLE_ROWS = 4


cdef class Tape:
    """What a forward in training leaves: each direction's recurrence, and what was looked up."""

    cdef list runs
    cdef double work     # multiply-adds of one direction
    cdef object ids      # (N, T) of the rows that were looked up, or None
    cdef fr_index count  # of the rows of that embedding


def recurrent_forward(
    cell, x, states, weights, *, options, reverse, lengths, bint train, drop_h=None,
    embedding=None, out=None, masks=None, num_threads=None,
):
    cdef Tape tape = Tape()
    directions, (N, T) = len(weights), x.shape[:2]
    if embedding is not None and not worth_projecting(len(embedding), x.size):
        tape.ids, tape.count = x.flatten(), len(embedding)
        x = embedding_forward(tape.ids, embedding).reshape(N, T, embedding.shape[1])
        embedding = None
    H, dtype = states[0].shape[2], states[0].dtype  # of h, the rest may be wider
    y = empty((N, T, directions * H), dtype) if out is None else out
    finals = [empty_like(state) for state in states]
    tape.runs = [Recurrence.__new__(Recurrence) for _ in weights]
    tape.work = <double>N * T * (weights[0][0].size + weights[0][1].size)
    calls = [
        partial(
            tape.runs[d].forward_once, cell_weights(cell, weights[d], options), x,
            [state[d] for state in states], [final[d] for final in finals],
            y[:, :, d * H : (d + 1) * H], lengths, reverse[d], train,
            None if drop_h is None else drop_h[d], embedding, None if masks is None else masks[d],
        )
        for d in range(directions)
    ]
    run_directions(calls, tape.work, num_threads)
    return y, finals, tape if train else None


def recurrent_backward(cell, dy, dstates, Tape stash not None, *, num_threads=None):
    cdef Recurrence run
    H = dstates[0].shape[2]
    dstates0 = [empty_like(dstate) for dstate in dstates]
    dweights = [run.weights.gradients() for run in stash.runs]
    calls = [
        partial(
            run.backward, dy[:, :, d * H : (d + 1) * H],
            [dstate[d] for dstate in dstates], [dstate[d] for dstate in dstates0], dweights[d],
        )
        for d, run in enumerate(stash.runs)
    ]
    dx, *others = run_directions(calls, 2 * stash.work, num_threads)
    for other in others:
        np.add(dx, other, out=dx)
    if stash.ids is not None:
        dx = embedding_backward(dx.reshape(len(stash.ids), dx.shape[2]), stash.ids, stash.count)
    return dx, dstates0, dweights


def recurrent_freeze(cell, cells, *, options, directions, residual, owners, num_threads=None):
    """The stacked `cells`, each given by its weights, packed once; see `Prepacked`."""
    stack = [cell_weights(cell, arrays, options) for arrays in cells]
    return Prepacked(stack, directions, len(cell.states), residual, owners, num_threads)


def recurrent_step(cell, cnp.ndarray x not None, states, weights, *, options):
    cdef fr_index rows = x.shape[0], itemsize = x.itemsize, r, x_bytes, h_bytes
    cdef cnp.ndarray h, c, h_next, c_next
    cdef fr_cell_single m
    cdef const fr_cell_kernels *kernels
    cdef Buffer work
    cdef unsigned mode
    if rows > SINGLE_ROWS or cell.program is not None:
        return short_forward(cell_weights(cell, weights, options), x, states)
    h, c = states[0], states[len(states) - 1]
    h_next = c_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    if c is not h:
        c_next = cnp.PyArray_EMPTY(2, cnp.PyArray_DIMS(h), cnp.PyArray_TYPE(h), 0)
    kernels = single_step(cell, options, itemsize, &m)
    m.input, m.hidden = x.shape[1], h.shape[1]
    m.wx, m.wh, m.b = data_of(weights[0]), data_of(weights[1]), data_of(weights[2])
    m.bh = data_of(weights[3]) if len(weights) > 3 else NULL
    if kernels.work_per_unit:
        work = Buffer(kernels.work_per_unit * m.hidden, itemsize)
        m.work = work.data
    x_bytes, h_bytes = m.input * itemsize, m.hidden * itemsize
    with nogil:
        mode = flush_denormals()
        for r in range(rows):
            m.x = cnp.PyArray_BYTES(x) + r * x_bytes
            m.h = cnp.PyArray_BYTES(h) + r * h_bytes
            m.c = cnp.PyArray_BYTES(c) + r * h_bytes
            m.h_next = cnp.PyArray_BYTES(h_next) + r * h_bytes
            m.c_next = cnp.PyArray_BYTES(c_next) + r * h_bytes
            kernels.single(&m)
        restore_mode(mode)
    return (h_next,) if c is h else (h_next, c_next)


cdef tuple short_forward(Weights weights, cnp.ndarray x, states):
    """The states after one step, by the loop over one step."""
    cdef Recurrence run = Recurrence.__new__(Recurrence)
    finals = [empty_like(state) for state in states]
    y = empty((len(x), 1, weights.output), x.dtype)
    weights.unpacked = len(x) <= SINGLE_ROWS and weights.hidden % weights.kernels.lanes == 0
    run.forward_once(
        weights, x[:, None], list(states), finals, y, None, False, False, None, None, None, None
    )
    return tuple(finals)


cdef const void *data_of(object array) noexcept:
    """Where an array begins; NULL for None."""
    return NULL if array is None else cnp.PyArray_DATA(array)
