cdef object weight_gradient(object x, object dy, object num_threads)
cdef object column_sums(object dy, object num_threads)
