"""The weights of one cell: what its kernels are, and the packed copies that they read."""

cimport numpy as cnp

from fastrnn._kernels.linalg.packing cimport packed
from fastrnn._kernels.recurrent.backward cimport GradientPart
from fastrnn._kernels.runtime.cpu cimport cell_kernels, kernels_for
from fastrnn._kernels.runtime.memory cimport empty, empty_like
from fastrnn._kernels.simd cimport fr_cell, fr_cell_backward, fr_cell_kernels, fr_index

cnp.import_array()


cdef class Weights:
    """The arrays of one cell; packed once for each call, or once for all if it is frozen.

    `cells.pyx` sets `layout_x` and `layout_h` (how the gates as seen by x and by h are packed), `h_gate` (the first of the latter in a panel of dgates) and `gated`
    (whether the backward needs the activated gates). A subclass there has what one cell needs
    beside that.
    """

    def __cinit__(self, str cell, Wx, Wh, b, bh=None):
        self.kernels = kernels_for((<cnp.ndarray>Wx).itemsize)
        cdef const fr_cell_kernels *functions = cell_kernels(self.kernels, cell)
        self.step, self.backward_step = functions.step, functions.backward_step
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

    cdef void drop(self) noexcept:
        """Forget the packed copies, except `bias_h`, by which a backward knows its variant."""
        self.wx = self.wh = self.bias = self.wh_n = None

    cdef void give(self, fr_cell *m) noexcept:
        """Point a cell's call to the packed copies."""
        m.wx, m.wh, m.bias = self.wx.data, self.wh.data, self.bias.data
        m.bias_h = NULL if self.bias_h is None else self.bias_h.data
        m.wh_n = NULL if self.wh_n is None else self.wh_n.data
        m.relu, m.complement = self.relu, self.complement

    cdef tuple gradients(self, fr_index ahead=0):
        """New arrays for the gradients of all weights; dWx has so many rows more in front."""
        rows, columns = self.Wx.shape
        dtype = self.Wx.dtype
        return empty((ahead + rows, columns), dtype), empty_like(self.Wh), empty((columns,), dtype)

    cdef int pack_extras(self, object num_threads) except -1:
        """Make `bias_h` and `wh_n`, if the cell has them."""

    cdef int backward_extras(
        self, fr_cell_backward *m, list scratch, object num_threads
    ) except -1:
        """Set what only this cell's backward reads; scratch memory goes to `scratch`."""

    cdef int extra_part(
        self, const fr_cell *m, fr_index first_h, tuple gradients, GradientPart *part
    ) except -1:
        """Set a fourth part of the weight gradients; return whether there is one."""
