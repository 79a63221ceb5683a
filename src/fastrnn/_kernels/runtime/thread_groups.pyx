"""How the steps of a call are shared by threads.

Threads that have rows of their own never wait for each other. With few rows that leaves threads
idle, or reads all weights in every thread: then several of them share the hidden units of the same
rows instead, and meet after each step (`simd/barrier.h`). Either way each number is summed in the
same order.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastrnn._kernels.simd cimport fr_barrier, fr_index, fr_now, fr_share
from fastrnn._kernels.runtime.threads cimport threads_for

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #else
    #define omp_get_num_threads() 1
    #endif
    """
    int omp_get_num_threads() nogil

# On a busy machine a thread loses its processor, and those that share its rows wait for it at each
# step. A call that lost a quarter of its time so is followed by a pause, in which calls keep to rows,
# of PAUSE times what it lost, so that no more than a part of all time goes into trying. LSTM inference
# N1 T20 H512 on two processors, ms by rows, by units and as this rule has it: quiet 1.55, 0.80, 0.82;
# beside a process that computes 1.53, 8.60, 1.66.
cdef int PAUSE = 10
cdef int64_t pause_began = 0, pause_length = 0

# Groups grow until each has more than FEW_ROWS rows, or MORE_ROWS where the weights are read from
# beyond L2, as long as a thread has enough multiply-adds between two meetings. Two threads, time of
# shared units in that of shared rows, LSTM inference: N1 H128 0.58, N4 H128 0.77, N8 H128 1.01, N16
# H128 1.11; N4 H512 0.62, N8 H512 0.90, N16 H1024 0.91, N32 H1024 0.98; training N1 H128 0.65, N4 H128
# 0.86, N4 H512 0.84, N16 H1024 0.97. An RNN N1 H128 has too little to do between meetings: 2.1. Eight
# threads (Xeon, 2 MB of L2 each), groups of 1, 2, 4 and 8, ms: N16 T20 H1024 18.0, 11.3, 10.6, 9.0; N20
# T35 H650 13.4, 8.7, 7.9, 7.3; N64 T50 H512 22.2, 20.0, 21.3, 19.8; training N64 T20 H512 29.9, 23.3,
# 22.5, 21.0; N32 T50 H256 2.9, 2.7, 2.7, 2.7.
cdef fr_index FEW_ROWS = 2, MORE_ROWS = 8
cdef fr_index MANY_WEIGHTS = 1 << 20
cdef double STEP_WORK = 3e4

# For tests, the members of every group; 0: as the rule has it.
cdef int wanted = 0


def share(members):
    """Make groups of so many threads, as far as there are units, for calls of any size; 0: by rule."""
    global wanted
    if members < 0:
        raise ValueError(f"team: members must be at least 0, got {members}")
    wanted = members


cdef Team as_given(Team team) noexcept nogil:
    """The team in the parallel region that calls, for which OpenMP may have had fewer threads.

    Those that were to share units then share them all in one group, as they must meet.
    """
    cdef int count = omp_get_num_threads()
    if count < team.threads:
        return Team(count, 1 if team.members == 1 else count, team.patience)
    return team


cdef Team choose_team(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
):
    """The team for `work` multiply-adds over so many rows, steps and vectors of hidden units."""
    cdef fr_index quads = max(vectors // 4, 1)
    cdef int threads = threads_for(num_threads, work, rows * quads)
    cdef fr_index few = MORE_ROWS if weights >= MANY_WEIGHTS else FEW_ROWS
    cdef double step_work = work / max(1, steps)
    cdef int members
    if wanted:
        members = <int>min(wanted, threads, quads)
    else:
        members = members_for(threads, step_work, rows, quads, few)
        if members > 1 and on_pause():
            members = 1
    threads = busy(threads, members, rows)
    # Some threads have more units than others, and what they read comes from farther away. So a step
    # is waited for four times as long as its multiply-adds, 30 a nanosecond, should take.
    return Team(threads, members, 1000 + <int>min(4 * step_work / threads / 300, 1e8))


cdef int busy(int threads, int members, fr_index rows) noexcept:
    """Of so many threads, those that have something to do in groups of so many members."""
    cdef fr_index groups = min(threads // members, max(1, rows))
    return <int>(groups if members == 1 else min(groups, GROUPS)) * members


cdef int members_for(
    int threads, double step_work, fr_index rows, fr_index quads, fr_index few
) noexcept:
    """The smallest groups that use most threads, and of them the first that has enough rows."""
    cdef int members, best = 1, most = busy(threads, 1, rows), used
    for members in range(2, <int>min(threads, quads) + 1):
        used = busy(threads, members, rows)
        if used < most or step_work < STEP_WORK * used:
            continue
        if used == most and rows * best > few * threads:
            break
        best, most = members, used
    return best


cdef bint on_pause() noexcept nogil:
    """Whether units are not shared for now."""
    return 0 <= fr_now() - pause_began < pause_length


cdef void begin(Meetings *meetings) noexcept nogil:
    """Before the threads of a call start."""
    memset(meetings, 0, sizeof(Meetings))
    meetings.began = fr_now()


cdef void learn(Team team, const Meetings *meetings) noexcept nogil:
    """Take note of how the meetings of a call went."""
    global pause_began, pause_length
    cdef int group, groups = team.threads // team.members
    cdef int64_t lost = 0, now
    if team.members == 1:
        return
    for group in range(groups):
        lost += meetings.steps[group].lost
    if lost == 0:
        return
    # Each of the others waits for a late one.
    lost //= team.threads - groups
    now = fr_now()
    if 4 * lost > now - meetings.began:
        pause_began, pause_length = now, PAUSE * lost


cdef fr_share share_of(
    Team team, fr_index vectors, int thread, Meetings *meetings
) noexcept nogil:
    """What the thread of this number has; each group meets at a barrier of its own."""
    cdef fr_index quads = (vectors + 3) // 4
    cdef int group = thread // team.members, member = thread % team.members
    cdef fr_barrier *barrier = NULL
    if team.members > 1:
        barrier = &meetings.steps[group]
    return fr_share(
        group, team.threads // team.members, quads * member // team.members * 4,
        min(vectors, quads * (member + 1) // team.members * 4), barrier, team.members,
        team.patience,
    )
