from libc.stdint cimport int64_t

from fastrnn._kernels.simd cimport fr_index, fr_load_relaxed, fr_share, fr_store_relaxed

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

# A call of a kernel: what its threads know in common.
cdef struct Call:
    int threads
    int processor          # of the calling thread; -1: not known, or there is no other thread
    unsigned long asker    # the calling thread if it is Python's main one, else 0
    int64_t *stop          # not 0: the threads end as soon as they can, and the results are dropped
    int64_t own_stop
    int64_t[8] unused      # what follows is the asker's; a cache line keeps it from the others
    double work            # multiply-adds since the asker looked at the clock
    int64_t due            # when it is to ask

cdef double look_work, piece_work

cdef int listen(Call *call) except -1
cdef int raise_if_stopped(Call *call) except -1
cdef void look(Call *call) noexcept nogil


cdef inline void ignore_signals(Call *call) noexcept nogil:
    """Prepare for a call that is too short to be interrupted."""
    call.asker, call.own_stop, call.stop = 0, 0, &call.own_stop


cdef inline bint interrupted(Call *call, double work) noexcept nogil:
    """Whether the call is to end; every thread asks after so many more multiply-adds."""
    if call.asker and call.asker == PyThread_get_thread_ident():
        call.work += work
        if call.work >= look_work:
            look(call)
    return fr_load_relaxed(call.stop) != 0


cdef inline bint ends_before(
    Call *call, fr_share share, int64_t step, double *work
) noexcept nogil:
    """Whether a thread's loop ends before its step of this number, counted from 1.

    `work` is what was done since an answer was looked for. Threads of a group meet in each step, so
    that all of them know by the next one what the first has decided before.
    """
    cdef double done = work[0]
    cdef int64_t last
    if share.barrier == NULL:
        if done < look_work:
            return False
        work[0] = 0
        return interrupted(call, done)
    last = fr_load_relaxed(&share.barrier.last)
    if last:
        return step > last
    work[0] = 0
    if share.begin == 0 and interrupted(call, done):
        fr_store_relaxed(&share.barrier.last, step)
    return False


cdef inline fr_index rows_at_once(
    fr_index rows, double row_work, fr_index lanes, fr_index least
) noexcept nogil:
    """Of so many rows, those of a piece: pieces are alike, and of at least so many rows."""
    cdef fr_index most, pieces
    if rows * row_work <= piece_work * lanes:
        return max(rows, 1)
    most = max(least, <fr_index>(piece_work * lanes / row_work))
    pieces = (rows + most - 1) // most
    return (rows + pieces - 1) // pieces
