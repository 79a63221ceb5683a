from libc.stdint cimport int64_t

from fastrnn._kernels.simd cimport fr_barrier, fr_batch, fr_cell, fr_index, fr_share

# The threads of a call, in groups. A group has rows of its own, each of its threads hidden units.
cdef struct ThreadGroups:
    int threads
    int per_group
    int spin_limit  # at a barrier, see simd/barrier.h

# At most so many groups of more than one thread, each with a barrier.
cdef enum:
    GROUPS = 64

# Where the threads of a call wait for each other: those of a group after a step, all after a chunk.
cdef struct Barriers:
    fr_barrier[GROUPS] steps
    fr_barrier chunks
    int64_t began

cdef ThreadGroups actual_groups(ThreadGroups groups) noexcept nogil
cdef ThreadGroups choose_groups(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
)
cdef void open_barriers(Barriers *barriers) noexcept nogil
cdef void record_lateness(ThreadGroups groups, const Barriers *barriers) noexcept nogil
cdef fr_share share_of(
    ThreadGroups groups, const fr_cell *m, int thread, Barriers *barriers
) noexcept nogil
cdef fr_share rows_of(const fr_batch *batch, int part, int parts) noexcept nogil
cdef fr_index in_share(const fr_batch *batch, fr_share share, fr_index s) noexcept nogil
