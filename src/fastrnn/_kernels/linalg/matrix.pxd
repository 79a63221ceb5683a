from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_product

cdef struct Matrix:
    char *data
    fr_index rows
    fr_index columns
    fr_index row_bytes

# What a small product needs: pointers to rows, then a packed operand.
cdef struct Workspace:
    void **rows
    void **results
    char *operand

# An affine map of rows: a packed matrix, and a packed bias or NULL. Where W is NULL there is none.
cdef struct Affine:
    const void *W
    const void *b
    fr_index depth
    fr_index packed_depth
    fr_index columns


cdef inline char *row_of(Matrix matrix, fr_index row) noexcept nogil:
    return matrix.data + row * matrix.row_bytes


cdef inline Matrix some_rows(Matrix matrix, fr_index first, fr_index end) noexcept nogil:
    """Rows first .. end-1."""
    return Matrix(row_of(matrix, first), end - first, matrix.columns, matrix.row_bytes)


cdef Matrix as_matrix(object array) noexcept
cdef void point_rows(void **pointers, Matrix matrix) noexcept nogil
cdef void point_columns(void **pointers, Matrix matrix, fr_index itemsize) noexcept nogil
cdef void **reserve_pointers(list owner, fr_index count) except NULL
cdef void **row_pointers(list owner, Matrix matrix) except NULL
cdef fr_product plain_product(
    const fr_kernels *k, void **rows, fr_index a_step, fr_index depth, const void *operand,
    fr_index operand_depth, void **results, fr_index columns,
) noexcept nogil
cdef int run_product(
    const fr_kernels *k, const fr_product *product, fr_index rows, object num_threads
) except -1
cdef void multiply(
    const fr_kernels *k, const fr_product *product, fr_index begin, fr_index end, Call *call
) noexcept nogil
cdef fr_index packed_bytes(const fr_kernels *k, fr_index rows, fr_index columns) noexcept nogil
cdef fr_index workspace_bytes(fr_index largest_side, fr_index largest_operand) noexcept nogil
cdef Workspace workspace_at(char *memory, fr_index largest_side) noexcept nogil
cdef Affine affine(const fr_kernels *k, list owner, object W, object b, object num_threads)
cdef Affine affine_transposed(const fr_kernels *k, list owner, object W, object num_threads)
cdef object applied(const fr_kernels *k, const Affine *affine, object x, object num_threads)
cdef void apply(
    const fr_kernels *k, const Affine *affine, Workspace work, Matrix x, Matrix y, Call *call
) noexcept nogil
cdef void apply_pointed(
    const fr_kernels *k, const Affine *affine, Workspace work, fr_index rows, Call *call
) noexcept nogil
