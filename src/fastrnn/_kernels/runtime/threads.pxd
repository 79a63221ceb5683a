# A thread's share of a job: what is number t of `threads` to do?
ctypedef void fr_work(void *job, int t, int threads) noexcept nogil

cdef double MOVE_WORK

cdef int threads_for(object num_threads, double work, Py_ssize_t pieces) except -1
cdef void parallel_for(fr_work *work, void *job, int threads) noexcept nogil
