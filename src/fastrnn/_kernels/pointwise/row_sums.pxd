from fastrnn._kernels.simd cimport fr_index, fr_kernels

# Sums of rows by the number that each row has. Those of a panel lie one after another.
cdef struct RowSums:
    char *sums          # NULL: there are none
    fr_index count      # of them
    fr_index width      # of a row, in numbers
    fr_index *often     # the place of each number among those that come often, or -1
    fr_index often_count
    char *blocks        # of those, which are added to the sums when they are full
    fr_index *pending   # rows in each block

cdef RowSums row_sums(
    const fr_kernels *k, list owner, void *sums, fr_index count, object ids, fr_index panels,
    fr_index width,
)
cdef void add_row(
    const fr_kernels *k, const RowSums *s, fr_index panel, fr_index id, const char *row
) noexcept nogil
cdef void close_blocks(const fr_kernels *k, const RowSums *s, fr_index panel) noexcept nogil
