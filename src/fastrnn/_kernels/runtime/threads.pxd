cimport cython
from libc.stdint cimport int64_t

# A thread's share of a job: what is number t of `threads` to do?
ctypedef void fr_work(void *job, int t, int threads) noexcept nogil

cdef double MOVE_WORK

@cython.final
cdef class BackOff:
    cdef int64_t end
    cpdef bint over(self) noexcept nogil
    cpdef void begin(self, int64_t nanoseconds) noexcept nogil

cdef int threads_for(object num_threads, double work, Py_ssize_t pieces) except -1
cdef int run_parallel(
    fr_work *work, void *job, object num_threads, double multiply_adds, Py_ssize_t pieces
) except -1
cdef void parallel_for(fr_work *work, void *job, int threads) noexcept nogil
