from fastrnn._kernels.recurrent.weights cimport Weights

cdef Weights cell_weights(object cell, object arrays, object options)
