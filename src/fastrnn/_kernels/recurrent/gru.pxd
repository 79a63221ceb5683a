from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.recurrent.weights cimport Weights


cdef class GRURecurrence(Recurrence):
    pass

cdef Weights gru_weights(object Wx, object Wh, object b, object bh, bint textbook=*)
