"""Sums of rows by number: gradients of an embedding, whose rows come as often as the text has it.

Numbers that come more often than a block of a sum has terms get a block beside their sum; of these
there are few.
"""

cimport numpy as cnp
from libc.string cimport memset

from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport FR_SUM_BLOCK, fr_index, fr_kernels

import numpy as np

cnp.import_array()


cdef RowSums row_sums(
    const fr_kernels *k, list owner, void *sums, fr_index count, object ids, fr_index panels,
    fr_index width,
):
    """Sums, which are zero, of rows with these numbers; their memory lives as long as `owner`."""
    cdef RowSums s
    cdef cnp.ndarray numbers = np.ascontiguousarray(ids)
    cdef fr_index total = cnp.PyArray_SIZE(numbers)
    cdef Buffer often, blocks, pending
    memset(&s, 0, sizeof(s))
    s.sums, s.count, s.width = <char *>sums, count, width
    often = Buffer(count if total > FR_SUM_BLOCK else 0, sizeof(fr_index), zeroed=True)
    s.often = <fr_index *>often.data
    if total > FR_SUM_BLOCK:
        s.often_count = find_often(<const cnp.int64_t *>cnp.PyArray_DATA(numbers), total, &s)
    blocks = Buffer(panels * s.often_count * width, k.itemsize, zeroed=True)
    pending = Buffer(panels * s.often_count, sizeof(fr_index), zeroed=True)
    s.blocks, s.pending = <char *>blocks.data, <fr_index *>pending.data
    owner += (often, blocks, pending)
    return s


cdef fr_index find_often(const cnp.int64_t *id, fr_index total, RowSums *s) noexcept nogil:
    """Give each number that comes often its place; returns how many do."""
    cdef fr_index i, places = 0
    for i in range(total):
        s.often[id[i]] += 1
    for i in range(s.count):
        if s.often[i] > FR_SUM_BLOCK:
            s.often[i] = places
            places += 1
        else:
            s.often[i] = -1
    return places


cdef void add_row(
    const fr_kernels *k, const RowSums *s, fr_index panel, fr_index id, const char *row
) noexcept nogil:
    """sums[panel][id] += row"""
    cdef fr_index bytes = s.width * k.itemsize, place
    if s.often_count == 0 or s.often[id] < 0:
        k.add_rows(s.sums + (panel * s.count + id) * bytes, row, s.width)
        return
    place = panel * s.often_count + s.often[id]
    k.add_rows(s.blocks + place * bytes, row, s.width)
    s.pending[place] += 1
    if s.pending[place] == FR_SUM_BLOCK:
        close_block(k, s, panel, id)


cdef void close_block(
    const fr_kernels *k, const RowSums *s, fr_index panel, fr_index id
) noexcept nogil:
    """Add the block of a number that comes often to its sum."""
    cdef fr_index bytes = s.width * k.itemsize, place = panel * s.often_count + s.often[id]
    k.add_rows(s.sums + (panel * s.count + id) * bytes, s.blocks + place * bytes, s.width)
    memset(s.blocks + place * bytes, 0, bytes)
    s.pending[place] = 0


cdef void close_blocks(const fr_kernels *k, const RowSums *s, fr_index panel) noexcept nogil:
    """Add what is left in the blocks of a panel: the sums are complete then."""
    cdef fr_index id
    if s.often_count:
        for id in range(s.count):
            if s.often[id] >= 0:
                close_block(k, s, panel, id)
