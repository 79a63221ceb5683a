from fastrnn._kernels.simd cimport fr_barrier, fr_index, fr_share

# How many threads run the steps of a call, and what each of them has: rows of its own or, with
# `by_units`, hidden units of its own in every row.
cdef struct Team:
    int threads
    bint by_units
    int patience  # at a meeting, see simd/barrier.h

cdef int team_size() noexcept nogil
cdef Team choose_team(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
)
cdef void learn(Team team, fr_index steps, const fr_barrier *barrier) noexcept nogil
cdef fr_share share_of(
    Team team, fr_index vectors, int thread, fr_barrier *barrier
) noexcept nogil
