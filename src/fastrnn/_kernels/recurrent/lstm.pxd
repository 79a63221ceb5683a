from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.recurrent.weights cimport Weights


cdef class LSTMRecurrence(Recurrence):
    pass

cdef Weights lstm_weights(object Wx, object Wh, object b, bint textbook=*)
