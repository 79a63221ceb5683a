from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.simd cimport fr_cell_kernels, fr_cell_single, fr_index

cdef Weights cell_weights(object cell, object arrays, object options)
cdef const fr_cell_kernels *single_step(
    object cell, object options, fr_index itemsize, fr_cell_single *m
) except NULL
