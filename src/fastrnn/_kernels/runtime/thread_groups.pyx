"""How threads divide the steps of a call among themselves.

Threads that have rows of their own never wait for each other. With few rows that leaves threads
idle, or reads all weights in every thread. Then a group of threads takes the same rows, each thread
its own hidden units of them, and the group waits at a barrier after each step (`simd/barrier.h`).
Every number is summed in the same order in either case.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset

from fastrnn._kernels.runtime.threads cimport BackOff, omp_get_num_threads, threads_for
from fastrnn._kernels.simd cimport (
    fr_batch, fr_cell, fr_index, fr_load_relaxed, fr_now, fr_share, fr_store_relaxed
)

# On a busy machine a thread loses its processor, and its group waits for it at each step. After a
# call that lost a quarter of its time in this way each thread has rows of its own, for BACK_OFF
# times what was lost. docs/decisions.md has the figures behind these constants.
cdef int BACK_OFF = 10
cdef BackOff back_off = BackOff()

# Groups grow until each has more than FEW_ROWS rows, or MORE_ROWS where the weights are read from
# beyond L2, as long as a thread has STEP_WORK multiply-adds between two barriers.
cdef fr_index FEW_ROWS = 2, MORE_ROWS = 8
cdef fr_index MANY_WEIGHTS = 1 << 20
cdef double STEP_WORK = 3e4

# For tests, the threads of every group; 0: as the rule has it.
cdef int64_t forced = 0


def force_threads_per_group(count):
    """Make groups of so many threads, as far as units go, in calls of any size; 0: by rule."""
    if count < 0:
        raise ValueError(f"force_threads_per_group: count must be at least 0, got {count}")
    fr_store_relaxed(&forced, count)


cdef ThreadGroups actual_groups(ThreadGroups groups) noexcept nogil:
    """The groups in the parallel region that calls, for which OpenMP may have had fewer threads.

    Those that were to divide units then are one group, as all of them must meet.
    """
    cdef int count = omp_get_num_threads()
    if count < groups.threads:
        return ThreadGroups(count, 1 if groups.per_group == 1 else count, groups.spin_limit)
    return groups


cdef ThreadGroups choose_groups(
    object num_threads, double work, fr_index rows, fr_index steps, fr_index vectors,
    fr_index weights,
):
    """The groups for `work` multiply-adds over so many rows, steps and vectors of hidden units."""
    cdef fr_index quads = max(vectors // 4, 1)
    cdef int threads = threads_for(num_threads, work, rows * quads)
    cdef fr_index few = MORE_ROWS if weights >= MANY_WEIGHTS else FEW_ROWS
    cdef double step_work = work / max(1, steps)
    cdef int per_group = <int>min(fr_load_relaxed(&forced), threads, quads)
    if per_group == 0:  # nothing is forced
        per_group = group_size(threads, step_work, rows, quads, few)
        if per_group > 1 and not back_off.over():
            per_group = 1
    threads = busy(threads, per_group, rows)
    # Some threads have more units than others, and what they read comes from farther away. So the
    # others wait four times as long as the multiply-adds of a step, 30 a nanosecond, should take.
    return ThreadGroups(threads, per_group, 1000 + <int>min(4 * step_work / threads / 300, 1e8))


cdef int busy(int threads, int per_group, fr_index rows) noexcept:
    """Of so many threads, those that have something to do in groups of `per_group`."""
    cdef fr_index count = min(threads // per_group, max(1, rows))
    return <int>(count if per_group == 1 else min(count, GROUPS)) * per_group


cdef int group_size(
    int threads, double step_work, fr_index rows, fr_index quads, fr_index few
) noexcept:
    """The smallest groups that use most threads, and of them the first that has enough rows."""
    cdef int per_group, best = 1, most = busy(threads, 1, rows), used
    for per_group in range(2, <int>min(threads, quads) + 1):
        used = busy(threads, per_group, rows)
        if used < most or step_work < STEP_WORK * used:
            continue
        if used == most and rows * best > few * threads:
            break
        best, most = per_group, used
    return best


cdef void open_barriers(Barriers *barriers) noexcept nogil:
    """Before the threads of a call start."""
    memset(barriers, 0, sizeof(Barriers))
    barriers.began = fr_now()


cdef void record_lateness(ThreadGroups groups, const Barriers *barriers) noexcept nogil:
    """Back off for a while if the threads of a call waited too long for each other."""
    cdef int group, count = groups.threads // groups.per_group
    cdef int64_t lost = 0
    if groups.per_group == 1:
        return
    for group in range(count):
        lost += barriers.steps[group].lost
    # Each of the others waits for a late one.
    lost //= groups.threads - count
    if lost and 4 * lost > fr_now() - barriers.began:
        back_off.begin(BACK_OFF * lost)


cdef fr_share share_of(
    ThreadGroups groups, const fr_cell *m, int thread, Barriers *barriers
) noexcept nogil:
    """The rows and units of the thread of this number; each group has a barrier of its own."""
    cdef fr_index quads = (m.vectors + 3) // 4
    cdef int size = groups.per_group, group = thread // size, member = thread % size
    cdef fr_share share = rows_of(&m.batch, group, groups.threads // size)
    share.begin = quads * member // size * 4
    share.end = min(m.vectors, quads * (member + 1) // size * 4)
    share.barrier = &barriers.steps[group] if size > 1 else NULL
    share.threads = size
    share.spin_limit = groups.spin_limit
    return share


cdef fr_share rows_of(const fr_batch *batch, int part, int parts) noexcept nogil:
    """A part of the rows: neighbours if all have every step, else every `parts`-th one.

    Where the rows of two threads alternate in memory, a processor fetches ahead what the other one
    is about to write; docs/decisions.md has the cost.
    """
    cdef fr_share share = fr_share(part, parts, batch.rows, 0, 0, NULL, 1, 0, NULL)
    if batch.steps and batch.batch_sizes[batch.steps - 1] == batch.rows:
        share.first = batch.rows * part // parts
        share.last = batch.rows * (part + 1) // parts
        share.stride = 1
    return share


cdef fr_index in_share(const fr_batch *batch, fr_share share, fr_index s) noexcept nogil:
    """Rows of the share that have a step s."""
    cdef fr_index left = min(batch.batch_sizes[s], share.last) - share.first
    return (left + share.stride - 1) // share.stride if left > 0 else 0


cdef fr_share part_of(fr_share share, fr_index first, fr_index end) noexcept nogil:
    """Rows first .. end-1 of a share."""
    cdef fr_share part = share
    part.first = share.first + first * share.stride
    part.last = min(share.last, share.first + end * share.stride)
    return part
