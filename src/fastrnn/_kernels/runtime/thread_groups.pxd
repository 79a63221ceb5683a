from libc.stdint cimport int64_t

from fastrnn._kernels.runtime.interrupt cimport rows_at_once
from fastrnn._kernels.simd cimport fr_barrier, fr_batch, fr_cell, fr_index, fr_share

# The threads of a call, in groups. A group has rows of its own, each of its threads hidden units.
cdef struct ThreadGroups:
    int threads
    int per_group
    int spin_limit  # at a barrier, see simd/barrier.h

# At most so many groups of more than one thread, each with a barrier.
cdef enum:
    GROUPS = 64

# Rows that a part of a step has at least: its weights are read anew for each.
cdef enum:
    LEAST_ROWS = 24

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
cdef fr_share part_of(fr_share share, fr_index first, fr_index end) noexcept nogil


cdef inline fr_index rows_of_part(
    fr_share share, fr_index rows, double row_work, fr_index lanes
) noexcept nogil:
    """Of so many rows of a share, those of a step that a thread does before it looks for a stop.

    Threads that share rows have few of them, and meet within a step.
    """
    return rows if share.barrier else rows_at_once(rows, row_work, lanes, LEAST_ROWS)
