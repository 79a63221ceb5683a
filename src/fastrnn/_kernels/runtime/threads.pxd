cimport cython
from libc.stdint cimport int64_t

from fastrnn._kernels.runtime.interrupt cimport Call

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define FR_OPENMP 1
    #else
    #define FR_OPENMP 0
    #define omp_get_max_threads() 1
    #define omp_get_num_threads() 1
    #define omp_get_thread_num() 0
    #endif
    """
    const bint FR_OPENMP
    int omp_get_max_threads() nogil
    int omp_get_num_threads() nogil
    int omp_get_thread_num() nogil

# A thread's share of a job: what is number t of the call's threads to do?
ctypedef void fr_work(void *job, int t, Call *call) noexcept nogil

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
cdef int run_threads(fr_work *work, void *job, int threads) except -1
cdef void parallel_for(fr_work *work, void *job, Call *call) noexcept nogil
cdef int begin_call(Call *call, int threads) except -1
cdef int end_call(Call *call) except -1
cpdef int processor() noexcept nogil
cpdef void leave_processor(int taken) noexcept nogil
cdef void leave_caller(const Call *call) noexcept nogil
