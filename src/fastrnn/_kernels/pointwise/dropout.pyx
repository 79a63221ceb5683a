"""Dropout: the function of `fastrnn._reference.dropout`, compiled."""

cimport numpy as cnp
import numpy as np

from fastrnn._kernels.runtime.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.runtime.memory cimport empty_like
from fastrnn._kernels.simd cimport fr_kernels

cnp.import_array()


def dropout(x, keep, double scale):
    cdef cnp.ndarray source = np.ascontiguousarray(x)
    cdef cnp.ndarray mask = np.ascontiguousarray(keep)
    cdef cnp.ndarray out = empty_like(source)
    cdef const fr_kernels *k = kernels_for(source.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.dropout(
            cnp.PyArray_DATA(out), cnp.PyArray_DATA(source),
            <const unsigned char *>cnp.PyArray_DATA(mask), scale, cnp.PyArray_SIZE(source),
        )
        restore_mode(mode)
    return out
