from libc.stdint cimport int64_t

from fastrnn._kernels.simd cimport fr_barrier, fr_index, fr_share

# Threads that run the steps of a call, in groups of so many members. Groups have rows of their own;
# the members of one share its rows, and each has hidden units of its own.
cdef struct Team:
    int threads
    int members
    int patience  # at a meeting, see simd/barrier.h

# Groups of more than one member there can be, each with a barrier.
cdef enum:
    GROUPS = 64

# Where the threads of a call meet: the members of each group after a step, all of them after a chunk.
cdef struct Meetings:
    fr_barrier[GROUPS] steps
    fr_barrier chunks
    int64_t began

cdef Team as_given(Team team) noexcept nogil
cdef Team choose_team(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
)
cdef void begin(Meetings *meetings) noexcept nogil
cdef void learn(Team team, const Meetings *meetings) noexcept nogil
cdef fr_share share_of(
    Team team, fr_index vectors, int thread, Meetings *meetings
) noexcept nogil
