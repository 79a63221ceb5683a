"""Hypotheses of a search: a history that they share, the best of them, and their tokens in the end.

How long targets will be is not known before, so this memory grows, by doubling; everything else
that a call needs it takes at once.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.string cimport memcpy

from fastrnn._kernels.simd cimport fr_index

cnp.import_array()

# Steps that there is room for at first.
cdef fr_index FIRST_ROOM = 32


cdef bint grow(void **array, fr_index bytes) noexcept nogil:
    """Make an array larger; tells whether there was memory."""
    cdef void *moved = PyMem_RawRealloc(array[0], max(bytes, 1))
    if moved != NULL:
        array[0] = moved
    return moved != NULL


cdef bint make_room(History *history, fr_index steps) noexcept nogil:
    """Room for so many steps; tells whether there was memory."""
    cdef fr_index room = max(history.room, FIRST_ROOM)
    while room < steps:
        room *= 2
    if room == history.room:
        return True
    if not (
        grow(<void **>&history.parent, room * history.beam * sizeof(fr_index))
        and grow(<void **>&history.token, room * history.beam * sizeof(fr_index))
        and grow(<void **>&history.attention, room * history.beam * history.attention_bytes)
    ):
        return False
    history.room = room
    return True


cdef void forget(History *history) noexcept nogil:
    PyMem_RawFree(history.parent)
    PyMem_RawFree(history.token)
    PyMem_RawFree(history.attention)


cdef fr_index enter(Found *best, fr_index count, fr_index most, Found found) noexcept nogil:
    """Put a target among the best, of equal scores the first to come before. How many now."""
    cdef fr_index at = count, i
    while at > 0 and best[at - 1].score < found.score:
        at -= 1
    if at == most:
        return count
    count = min(count + 1, most)
    for i in range(count - 1, at, -1):
        best[i] = best[i - 1]
    best[at] = found
    return count


cdef bint show(Shown *shown, const History *history, Found *found) noexcept nogil:
    """Follow a target back from its end, and copy it; tells whether there was memory."""
    cdef fr_index room = max(shown.room, FIRST_ROOM), bytes = shown.attention_bytes
    cdef fr_index row = found.row, step, at
    while room < shown.used + found.length:
        room *= 2
    if room > shown.room:
        if not (
            grow(<void **>&shown.tokens, room * sizeof(cnp.int64_t))
            and grow(<void **>&shown.attention, room * bytes)
        ):
            return False
        shown.room = room
    for step in range(found.length - 1, -1, -1):
        at = step * history.beam + row
        shown.tokens[shown.used + step] = history.token[at]
        row = history.parent[at]
        if bytes:
            memcpy(
                shown.attention + (shown.used + step) * bytes,
                history.attention + (step * history.beam + row) * bytes, bytes,
            )
    found.at = shown.used
    shown.used += found.length
    return True


cdef void discard(Shown *shown) noexcept nogil:
    PyMem_RawFree(shown.tokens)
    PyMem_RawFree(shown.attention)
