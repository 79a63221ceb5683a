cdef int threads_for(object num_threads, double work, Py_ssize_t pieces) except -1
