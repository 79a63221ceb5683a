"""How the steps of a call are shared by threads.

Threads that have rows of their own never wait for each other. With few rows that leaves threads
idle, or reads all weights in every thread: then they share the hidden units instead, and meet after
each step (`simd/barrier.h`). Either way each number is summed in the same order.
"""

from fastrnn._kernels.simd cimport fr_barrier, fr_index, fr_share
from fastrnn._kernels.threads cimport threads_for

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #else
    #define omp_get_num_threads() 1
    #endif
    """
    int omp_get_num_threads() nogil

# On a busy machine a thread loses its processor, and every other one waits for it at each step: ten
# times the time of one thread was seen. After a call in which that happened, this many calls keep to
# rows; the number doubles each time until a call goes well.
cdef int FIRST_PAUSE = 32, LONGEST_PAUSE = 1 << 12
cdef int pause = 32, calls_to_pause = 0

# Units are shared up to so many rows a thread, and up to more of them where the weights are read from
# beyond L2, if a thread has enough multiply-adds between two meetings. Two threads, time of shared
# units in that of shared rows, LSTM inference: N1 H128 0.58, N4 H128 0.77, N8 H128 1.01, N16 H128 1.11;
# N4 H512 0.62, N8 H512 0.90, N16 H1024 0.91, N32 H1024 0.98; training N1 H128 0.65, N4 H128 0.86, N4
# H512 0.84, N16 H1024 0.97. An RNN N1 H128 has too little to do between meetings: 2.1.
cdef fr_index FEW_ROWS = 2, MORE_ROWS = 8
cdef fr_index MANY_WEIGHTS = 1 << 20
cdef double STEP_WORK = 3e4


# "auto", or for tests: "units" where there are enough of them, or "rows".
cdef str wanted = "auto"


def share(what):
    """Share "rows" or "units", whatever the size of a call; "auto" goes back to the rule."""
    global wanted
    if what not in ("auto", "rows", "units"):
        raise ValueError(f"team: share must be auto, rows or units, got {what!r}")
    wanted = what


cdef int team_size() noexcept nogil:
    """Threads of the parallel region that calls: those that OpenMP gave, not those asked for."""
    return omp_get_num_threads()


cdef Team choose_team(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
):
    """The team for `work` multiply-adds over so many rows, steps and vectors of hidden units."""
    cdef fr_index few = MORE_ROWS if weights >= MANY_WEIGHTS else FEW_ROWS
    cdef int by_rows = threads_for(num_threads, work, rows)
    cdef int by_units = threads_for(num_threads, work, vectors // 4)
    cdef double step_work = work / max(1, steps * by_units)
    # A thread may be late by as long as a step takes, some 30 multiply-adds a nanosecond.
    cdef int patience = 1000 + <int>min(step_work / 300, 1e8)
    if wanted == "units":
        return Team(max(by_units, 1), by_units > 1, patience)
    if (
        wanted == "rows" or by_units < by_rows or by_units == 1 or rows > few * by_units
        or step_work < STEP_WORK or on_pause()
    ):
        return Team(by_rows, False, patience)
    return Team(by_units, True, patience)


cdef bint on_pause() noexcept:
    """Whether units are not shared for now; counts the call."""
    global calls_to_pause
    if calls_to_pause == 0:
        return False
    calls_to_pause -= 1
    return True


cdef void learn(Team team, fr_index steps, const fr_barrier *barrier) noexcept nogil:
    """Take note of how the meetings of a call of so many steps went."""
    global pause, calls_to_pause
    if not team.by_units:
        return
    # Each of the others counts a late one.
    if barrier.yields * 8 > (steps + 8) * (team.threads - 1):
        calls_to_pause = pause
        pause = min(2 * pause, LONGEST_PAUSE)
    else:
        pause = FIRST_PAUSE


cdef fr_share share_of(
    Team team, fr_index vectors, int thread, fr_barrier *barrier
) noexcept nogil:
    cdef fr_index quads = (vectors + 3) // 4
    if not team.by_units:
        return fr_share(thread, team.threads, 0, vectors, NULL, 1, 0)
    return fr_share(
        0, 1, quads * thread // team.threads * 4,
        min(vectors, quads * (thread + 1) // team.threads * 4), barrier, team.threads,
        team.patience,
    )
