from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.recurrent.weights cimport Weights


cdef class RNNRecurrence(Recurrence):
    pass

cdef Weights rnn_weights(object Wx, object Wh, object b, object nonlinearity)
