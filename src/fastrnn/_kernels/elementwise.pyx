"""The vector functions under every gate, on whole arrays: so that their accuracy can be tested."""

cimport numpy as cnp
import numpy as np

from fastrnn._kernels.cpu cimport kernels_for
from fastrnn._kernels.memory cimport empty_like

cnp.import_array()


def exp(x):
    cdef cnp.ndarray source = np.ascontiguousarray(x), out = empty_like(source)
    kernels_for(source.itemsize).exp(
        cnp.PyArray_DATA(out), cnp.PyArray_DATA(source), cnp.PyArray_SIZE(source)
    )
    return out


def sigmoid(x):
    cdef cnp.ndarray source = np.ascontiguousarray(x), out = empty_like(source)
    kernels_for(source.itemsize).sigmoid(
        cnp.PyArray_DATA(out), cnp.PyArray_DATA(source), cnp.PyArray_SIZE(source)
    )
    return out


def tanh(x):
    cdef cnp.ndarray source = np.ascontiguousarray(x), out = empty_like(source)
    kernels_for(source.itemsize).tanh(
        cnp.PyArray_DATA(out), cnp.PyArray_DATA(source), cnp.PyArray_SIZE(source)
    )
    return out
