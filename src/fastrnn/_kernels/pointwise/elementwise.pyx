"""The vector functions under every gate, on whole arrays: for tanh layers, and to test accuracy."""

cimport numpy as cnp
import numpy as np

from fastrnn._kernels.runtime.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.runtime.memory cimport empty_like
from fastrnn._kernels.simd cimport fr_kernels, fr_rows

cnp.import_array()


def exp(x):
    return mapped(kernels_for(x.itemsize).exp, x)


def sigmoid(x):
    return mapped(kernels_for(x.itemsize).sigmoid, x)


def tanh(x):
    return mapped(kernels_for(x.itemsize).tanh, x)


cdef object mapped(fr_rows *function, object x):
    cdef cnp.ndarray source = np.asarray(x, order="C"), out = empty_like(source)
    with nogil:
        function(cnp.PyArray_DATA(out), cnp.PyArray_DATA(source), cnp.PyArray_SIZE(source))
    return out


def tanh_backward(dy, y):
    cdef cnp.ndarray value = np.asarray(y, order="C"), out = empty_like(value)
    cdef const fr_kernels *k = kernels_for(value.itemsize)
    cdef unsigned mode
    out[...] = dy
    with nogil:
        mode = flush_denormals()
        k.tanh_backward(cnp.PyArray_DATA(out), cnp.PyArray_DATA(value), cnp.PyArray_SIZE(value))
        restore_mode(mode)
    return out
