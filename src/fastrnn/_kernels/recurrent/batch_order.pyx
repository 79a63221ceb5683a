"""Which rows of a sorted batch run at which step, and where the caller's arrays lie.

Sequences are sorted by falling length, so that those still running at any step are the first rows.
A sequence's steps count from where its direction begins: `reverse` only turns the caller's
pointers around.
"""

cimport numpy as cnp
import numpy as np
from libc.string cimport memcpy, memset

from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_batch, fr_index, fr_view

cnp.import_array()


cdef class BatchOrder:
    """The plan of one batch; `order[r]` is the sequence of row r, `steps[r]` its length."""

    def __cinit__(self, fr_index sequences, fr_index length, lengths, bint reverse):
        if sequences == 0:
            length = 0
        self.memory = Buffer(2 * sequences + 2 * length + 1, sizeof(fr_index))
        self.order = <fr_index *>self.memory.data
        self.steps = self.order + sequences
        self.reverse = reverse
        self.length = length
        cdef fr_index *batch_sizes = self.steps + sequences
        cdef fr_index *offset = batch_sizes + length
        cdef fr_index r, s, running = sequences
        cdef cnp.ndarray own, falling
        if lengths is None:
            for r in range(sequences):
                self.order[r] = r
                self.steps[r] = length
        else:
            own, falling = lengths, np.argsort(-lengths, kind="stable")
            for r in range(sequences):
                self.order[r] = (<const cnp.intp_t *>cnp.PyArray_DATA(falling))[r]
                self.steps[r] = (<const cnp.int64_t *>cnp.PyArray_DATA(own))[self.order[r]]
        offset[0] = 0
        for s in range(length):
            while running > 0 and self.steps[running - 1] <= s:
                running -= 1
            batch_sizes[s] = running
            offset[s + 1] = offset[s] + running
        self.c = fr_batch(rows=sequences, steps=length, batch_sizes=batch_sizes, offset=offset)

    cdef fr_view view(self, object array, void **rows):
        """The caller's (N, T, width) array in processing order; `rows` receives its pointers."""
        cdef cnp.ndarray a = array
        cdef fr_index step = a.strides[1], r, start
        for r in range(self.c.rows):
            start = self.steps[r] - 1 if self.reverse and self.steps[r] else 0
            rows[r] = cnp.PyArray_BYTES(a) + self.order[r] * a.strides[0] + start * step
        cdef fr_view result
        result.row = rows
        result.step = (-step if self.reverse else step) // a.itemsize
        return result

    cdef void clear_padding(self, object array) noexcept:
        """Zero what lies past each sequence's length."""
        cdef cnp.ndarray a = array
        cdef fr_index r, t
        for r in range(self.c.rows):
            for t in range(self.steps[r], self.length):
                memset(
                    cnp.PyArray_BYTES(a) + self.order[r] * a.strides[0] + t * a.strides[1],
                    0,
                    a.shape[2] * a.itemsize,
                )

    cdef void copy_in(self, char *rows, fr_index row_bytes, object array) noexcept:
        """rows[r] = the row of its sequence in `array` (N, width), zeros after its end."""
        cdef cnp.ndarray a = array
        cdef fr_index r, size = a.shape[1] * a.itemsize
        for r in range(self.c.rows):
            memcpy(rows + r * row_bytes, cnp.PyArray_BYTES(a) + self.order[r] * size, size)
            memset(rows + r * row_bytes + size, 0, row_bytes - size)

    cdef void copy_out(
        self, object array, const char *state, fr_index slots, fr_index row_bytes
    ) noexcept:
        """array[n] = the row of sequence n in the slot that its own last step wrote."""
        cdef cnp.ndarray a = array
        cdef fr_index r, slot, size = a.shape[1] * a.itemsize
        for r in range(self.c.rows):
            slot = self.steps[r] % slots
            memcpy(
                cnp.PyArray_BYTES(a) + self.order[r] * size,
                state + (slot * self.c.rows + r) * row_bytes,
                size,
            )
