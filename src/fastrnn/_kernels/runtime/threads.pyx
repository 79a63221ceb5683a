"""The number of threads: `FASTRNN_NUM_THREADS`, then `OMP_NUM_THREADS`, then the processors.

Calls of several Python threads that ask for no number of their own share it: a call gets what those
that run leave over, and at least one.

Kernels ask OpenMP for a number of threads by name, which overrides its own setting. So that
whoever limits OpenMP in a thread (threadpoolctl, `omp_set_num_threads`) limits the kernels that
this thread calls, a setting below the one that OpenMP begins with is a limit here, too, also for
`num_threads`. One that is not below cannot be told from its beginning and limits nothing.
"""

import os
import warnings

cimport cython
from cython.parallel cimport prange

from libc.stdint cimport int64_t

from fastrnn._kernels.runtime.available import affinity, processors
from fastrnn._kernels.runtime.cpu cimport flush_denormals, restore_mode
from fastrnn._kernels.runtime.interrupt cimport Call, listen, raise_if_stopped
from fastrnn._kernels.simd cimport fr_add_relaxed, fr_load_relaxed, fr_now, fr_store_relaxed

cdef extern from *:
    """
    #ifdef __linux__
    #include <sched.h>
    static int fr_processor(void) { return sched_getcpu(); }

    /* Keeps the calling thread off this processor, if it may be elsewhere. */
    static void fr_move_off(int processor) {
        static __thread cpu_set_t allowed, chosen;
        cpu_set_t set;
        if (processor < 0 || processor >= CPU_SETSIZE) return;
        if (sched_getaffinity(0, sizeof set, &set) != 0) return;
        if (!CPU_EQUAL(&set, &chosen)) allowed = set; /* not what the last call has left */
        set = allowed;
        CPU_CLR(processor, &set);
        if (sched_setaffinity(0, sizeof set, &set) == 0) chosen = set; /* it refuses an empty one */
    }
    #else
    static int fr_processor(void) { return -1; }
    static void fr_move_off(int processor) { (void)processor; }
    #endif

    #if defined(_OPENMP) && !defined(_WIN32)
    #include <pthread.h>
    static void *fr_wait(void *gate) {
        pthread_mutex_lock(gate);
        pthread_mutex_unlock(gate);
        return NULL;
    }

    /* How many of so many threads more the system grants at once; they end here. */
    static int fr_granted(int wanted) {
        enum { MOST = 256 };
        pthread_t threads[MOST];
        pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        int count = 0;
        pthread_mutex_lock(&gate);
        while (count < wanted && count < MOST &&
               pthread_create(&threads[count], NULL, fr_wait, &gate) == 0)
            count++;
        pthread_mutex_unlock(&gate);
        for (int t = 0; t < count; t++) pthread_join(threads[t], NULL);
        return count == MOST ? wanted : count;
    }
    #else
    static int fr_granted(int wanted) { return wanted; }
    #endif

    /* The threads that the calling one asked the system for, and what it granted. */
    static FR_THREAD_LOCAL int fr_asked = 1, fr_most = 1;
    """
    int fr_granted(int wanted) nogil
    int fr_asked, fr_most
    int fr_processor() noexcept nogil
    void fr_move_off(int processor) noexcept nogil

# Multiply-adds below which a second thread costs more than it brings; docs/decisions.md has the
# figures.
cdef double SMALL_WORK = 3e6
# Multiply-adds that a number costs which only comes from memory and goes back to it.
cdef double MOVE_WORK = 16

# What Python threads may change at once is read and written by fr_load_relaxed and its like.
cdef int64_t thread_count
cdef int openmp_count  # what OpenMP begins with
# More threads than this a call never gets, however many were asked for.
cdef Py_ssize_t most_threads = 4 * (os.cpu_count() or 1)
# After a fork the child has no threads of the OpenMP pool, and GNU's would wait for them forever.
cdef int64_t pool_began = False
cdef bint pool_lost = False
cdef int64_t warnings_given = 0
# Threads of the calls that run.
cdef int64_t busy = 0


def set_num_threads(num_threads):
    """Set how many threads the kernels use from now on.

    Parameters
    ----------
    num_threads : int
        At least 1. Results do not depend on it. A call uses at most four for each processor, and
        no more than a limit that was set on OpenMP in the calling thread, as by threadpoolctl.

    Raises
    ------
    ValueError
        If `num_threads` is not a positive integer.
    """
    fr_store_relaxed(&thread_count, checked(num_threads, "set_num_threads: num_threads"))


def get_num_threads():
    """Return how many threads the kernels use.

    Returns
    -------
    int
        1 where the build had no OpenMP, and in a process that was forked after its parent had used
        several threads.
    """
    return allowed(fr_load_relaxed(&thread_count))


def checked(value, name):
    """`value` as a number of threads."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1 or number != value and str(number) != value:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    return min(number, 1024)


cdef Py_ssize_t allowed(Py_ssize_t count) noexcept:
    """At most `count`, as the process and a limit on OpenMP permit."""
    cdef int limit
    if pool_lost or not FR_OPENMP:
        return 1
    limit = omp_get_max_threads()
    return min(count, limit) if limit < openmp_count else count


def usable(num_threads, work):
    """Threads for a call of `work` multiply-adds that can be split in any number of pieces."""
    return threads_for(num_threads, work, most_threads)


cdef int threads_for(object num_threads, double work, Py_ssize_t pieces) except -1:
    """Threads for a call of `work` multiply-adds in `pieces` independent pieces."""
    cdef Py_ssize_t setting = fr_load_relaxed(&thread_count)
    cdef Py_ssize_t count = setting if num_threads is None else num_threads
    if work < SMALL_WORK:
        return 1
    if pool_lost and count > 1:
        warn_once(
            "this process was forked after its parent had used several threads, which it does not "
            "have: calls run on one thread; start processes with 'spawn' or 'forkserver'"
        )
    count = min(allowed(count), pieces, most_threads)
    if num_threads is None:
        count = min(count, setting - fr_load_relaxed(&busy))
    return 1 if count <= 1 else granted(<int>count)


cdef int granted(int count) except -1:
    """So many threads, or what the system grants: OpenMP ends the process at a refusal."""
    global fr_asked, fr_most
    if count > fr_asked:
        fr_asked, fr_most = count, 1 + fr_granted(count - 1)
        if fr_most < count:
            warn_once(f"the system refuses a thread: calls run on {fr_most} instead of {count}")
    return min(count, fr_most)


cdef int warn_once(message) except -1:
    if fr_add_relaxed(&warnings_given, 1) == 1:
        warnings.warn(f"fastrnn: {message}", RuntimeWarning, stacklevel=2)
    return 0


cdef int run_parallel(
    fr_work *work, void *job, object num_threads, double multiply_adds, Py_ssize_t pieces
) except -1:
    """Do a job of so much work in so many pieces in as many threads as it gets."""
    run_threads(work, job, threads_for(num_threads, multiply_adds, pieces))


cdef int run_threads(fr_work *work, void *job, int threads) except -1:
    """Do a job in so many threads."""
    cdef Call call
    begin_call(&call, threads)
    with nogil:
        parallel_for(work, job, &call)
    end_call(&call)


cdef void parallel_for(fr_work *work, void *job, Call *call) noexcept nogil:
    """work(job, t, call) for each thread t, in a thread of its own with denormals flushed.

    One thread is the calling one, which does not enter OpenMP for it.
    """
    cdef int t
    if call.threads == 1:
        run_share(work, job, 0, call)
    else:
        for t in prange(call.threads, num_threads=call.threads, schedule="static", chunksize=1):
            leave_caller(call)
            run_share(work, job, t, call)


cdef int begin_call(Call *call, int threads) except -1:
    """Before so many threads work. What follows may not raise before `end_call`."""
    listen(call)
    fr_add_relaxed(&busy, threads)
    call.threads, call.processor = threads, -1
    if threads > 1:
        fr_store_relaxed(&pool_began, True)
        call.processor = processor()


cdef int end_call(Call *call) except -1:
    """After they have worked; raises if they were stopped."""
    fr_add_relaxed(&busy, -call.threads)
    return raise_if_stopped(call)


cpdef int processor() noexcept nogil:
    """The number of the processor that runs the calling thread; -1 where that is not known."""
    return fr_processor()


cpdef void leave_processor(int taken) noexcept nogil:
    """Move the calling thread off this processor if it is there, as another thread needs it.

    A system that has put a woken thread on the processor of the one that woke it lets it wait until
    that is done. The thread keeps off it until it has to leave another one.
    """
    if fr_processor() == taken:
        fr_move_off(taken)


cdef void leave_caller(const Call *call) noexcept nogil:
    """In a parallel region: leave the processor of its caller, unless this is the caller."""
    if omp_get_thread_num() > 0:
        leave_processor(call.processor)


cdef void run_share(fr_work *work, void *job, int t, Call *call) noexcept nogil:
    cdef unsigned mode = flush_denormals()
    work(job, t, call)
    restore_mode(mode)


@cython.final
cdef class BackOff:
    """Whether to avoid some way to use threads for a while, as they have been late.

    Any thread may ask and say so.
    """

    cpdef bint over(self) noexcept nogil:
        return fr_now() >= fr_load_relaxed(&self.end)

    cpdef void begin(self, int64_t nanoseconds) noexcept nogil:
        fr_store_relaxed(&self.end, fr_now() + nanoseconds)


def has_openmp():
    """Whether the build found OpenMP."""
    return bool(FR_OPENMP)


def _after_fork():
    global pool_lost, busy, warnings_given, fr_asked
    pool_lost = pool_lost or pool_began
    busy, warnings_given, fr_asked = 0, 0, 1


def _initial(default, *names):
    """What the first of the environment variables says that is set."""
    for name in names:
        value = os.environ.get(name)
        own = name != "OMP_NUM_THREADS"
        if value is None or own and not value:
            continue
        try:
            # OMP_NUM_THREADS may hold one number for each level of nesting.
            return checked(value.split(",")[0].strip(), name)
        except ValueError as error:
            if own:
                raise
            # Set for other libraries, perhaps, of which each has its own idea of what it may be.
            warnings.warn(f"{error}; it is ignored", RuntimeWarning, stacklevel=2)
    return default


thread_count = _initial(processors(), "FASTRNN_NUM_THREADS", "OMP_NUM_THREADS")
openmp_count = _initial(affinity(), "OMP_NUM_THREADS")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
