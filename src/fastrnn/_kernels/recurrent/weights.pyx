"""The weights of one cell: what its kernels are, and the packed copies that they read."""

cimport numpy as cnp

from fastrnn._kernels.runtime.cpu cimport cell_kernels, kernels_for
from fastrnn._kernels.linalg.packing cimport packed
from fastrnn._kernels.simd cimport fr_cell, fr_cell_kernels, fr_index

cnp.import_array()


cdef class Weights:
    """The arrays of one cell; packed once for each call, or once for all if it is frozen.

    A cell's module sets `layout_x` and `layout_h` (how the gates as seen by x and by h are packed),
    `h_gate` (the first of the latter in a panel of dgates), `gated` (whether the backward needs the
    activated gates) and what only this cell has.
    """

    def __cinit__(self, str cell, Wx, Wh, b, bh=None):
        self.kernels = kernels_for((<cnp.ndarray>Wx).itemsize)
        cdef const fr_cell_kernels *steps = cell_kernels(self.kernels, cell)
        self.step, self.backward_step = steps.step, steps.backward_step
        self.Wx, self.Wh, self.b, self.bh = Wx, Wh, b, bh

    cdef fr_index input(self) noexcept:
        return (<cnp.ndarray>self.Wx).shape[0]

    cdef fr_index hidden(self) noexcept:
        return (<cnp.ndarray>self.Wh).shape[0]

    cdef int pack(self, object num_threads) except -1:
        """Make the packed copies of the arrays as they are now."""
        self.wx = packed(self.kernels, self.Wx, &self.layout_x, num_threads)
        self.wh = packed(self.kernels, self.Wh, &self.layout_h, num_threads)
        self.bias = packed(self.kernels, self.b, &self.layout_x, num_threads)
        self.pack_extras(num_threads)
        return 0

    cdef int pack_extras(self, object num_threads) except -1:
        """What only some cells have: `bias_h` and `wh_n`."""
        return 0

    cdef void drop(self) noexcept:
        """Forget the packed copies, except `bias_h`, by which a backward knows its variant."""
        self.wx = self.wh = self.bias = self.wh_n = None

    cdef void give(self, fr_cell *m) noexcept:
        """Point a cell's call to the packed copies."""
        m.wx, m.wh, m.bias = self.wx.data, self.wh.data, self.bias.data
        m.bias_h = NULL if self.bias_h is None else self.bias_h.data
        m.wh_n = NULL if self.wh_n is None else self.wh_n.data
        m.relu, m.complement = self.relu, self.complement
