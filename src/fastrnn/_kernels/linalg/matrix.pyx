"""Products of plain matrices on the packed product: shared by threads, or small ones inside one."""

cimport numpy as cnp

from fastrnn._kernels.linalg.packing cimport packed, packed_columns, packed_transposed, plain_layout
from fastrnn._kernels.runtime.cpu cimport plan_of
from fastrnn._kernels.runtime.memory cimport Buffer, empty
from fastrnn._kernels.runtime.interrupt cimport Call, interrupted, rows_at_once
from fastrnn._kernels.runtime.threads cimport run_parallel
from fastrnn._kernels.simd cimport FR_REAL, fr_index, fr_kernels, fr_layout, fr_product

cnp.import_array()


# A product whose rows are split over threads.
cdef struct Rows:
    const fr_kernels *kernels
    const fr_product *product
    fr_index count


cdef Matrix as_matrix(object array) noexcept:
    """A 2-D array whose last axis is contiguous."""
    cdef cnp.ndarray a = array
    return Matrix(cnp.PyArray_BYTES(a), a.shape[0], a.shape[1], a.strides[0])


cdef void point_rows(void **pointers, Matrix matrix) noexcept nogil:
    cdef fr_index r
    for r in range(matrix.rows):
        pointers[r] = row_of(matrix, r)


cdef void point_columns(void **pointers, Matrix matrix, fr_index itemsize) noexcept nogil:
    """Point at the columns: the rows of the transpose."""
    cdef fr_index j
    for j in range(matrix.columns):
        pointers[j] = matrix.data + j * itemsize


cdef void **reserve_pointers(list owner, fr_index count) except NULL:
    """Memory for `count` pointers that lives as long as `owner`."""
    cdef Buffer buffer = Buffer(count, sizeof(void *))
    owner.append(buffer)
    return <void **>buffer.data


cdef void **row_pointers(list owner, Matrix matrix) except NULL:
    """Pointers to the rows, which live as long as `owner`."""
    cdef void **pointers = reserve_pointers(owner, matrix.rows)
    point_rows(pointers, matrix)
    return pointers


cdef fr_product plain_product(
    const fr_kernels *k, void **rows, fr_index a_step, fr_index depth, const void *operand,
    fr_index operand_depth, void **results, fr_index columns,
) noexcept nogil:
    """C = A B; B was packed from `operand_depth` rows, of which the first `depth` take part."""
    cdef fr_layout layout = plain_layout(k, columns)
    return fr_product(
        plan=plan_of(k), blocks=1, depth=depth, a=rows, a_step=a_step, a_block=0, b=operand,
        b_step=4, b_panel=operand_depth * 4 * k.lanes, layout=layout, begin=0, end=layout.panels,
        bias=NULL, c=results, accumulate=0, format=FR_REAL, int8=NULL,
    )


cdef int run_product(
    const fr_kernels *k, const fr_product *product, fr_index rows, object num_threads
) except -1:
    """Every row of a product, split over threads."""
    cdef Rows job = Rows(k, product, rows)
    cdef double work = <double>rows * product.depth * product.layout.limit[0]
    run_parallel(multiply_rows, &job, num_threads, work, rows)


cdef void multiply_rows(void *job, int t, Call *call) noexcept nogil:
    cdef Rows *m = <Rows *>job
    multiply(
        m.kernels, m.product, m.count * t // call.threads, m.count * (t + 1) // call.threads, call
    )


cdef void multiply(
    const fr_kernels *k, const fr_product *product, fr_index begin, fr_index end, Call *call
) noexcept nogil:
    """Rows begin .. end-1 of a product, less if the call is to end; panel by panel if it is large.

    No result depends on where it is cut.
    """
    cdef fr_product piece = product[0]
    cdef double work = <double>product.blocks * product.depth * product.layout.width * k.lanes
    cdef fr_index rows = rows_at_once(end - begin, work, k.lanes, product.plan.rows)
    cdef fr_index panels = rows_at_once(product.end - product.begin, rows * work, k.lanes, 1)
    while begin < end:
        piece.begin = product.begin
        while piece.begin < product.end:
            piece.end = min(piece.begin + panels, product.end)
            if interrupted(call, rows * work * (piece.end - piece.begin)):
                return
            k.product(&piece, begin, min(begin + rows, end))
            piece.begin = piece.end
        begin += rows


cdef fr_index packed_bytes(const fr_kernels *k, fr_index rows, fr_index columns) noexcept nogil:
    """Bytes of a packed matrix, in whole cache lines."""
    cdef fr_index panel = 4 * k.lanes
    rows = (rows + panel - 1) // panel * panel
    columns = (columns + panel - 1) // panel * panel
    return rows * columns * k.itemsize


cdef Workspace workspace_at(char *memory, fr_index largest_side) noexcept nogil:
    """Pointers to rows of the left side and of the result, then the packed operand."""
    cdef fr_index pointers = (2 * largest_side * sizeof(void *) + 63) // 64 * 64
    return Workspace(<void **>memory, <void **>memory + largest_side, memory + pointers)


cdef fr_index workspace_bytes(fr_index largest_side, fr_index largest_operand) noexcept nogil:
    """Bytes for products of at most so many rows, with a packed operand of so many bytes."""
    return (2 * largest_side * sizeof(void *) + 63) // 64 * 64 + largest_operand


cdef Affine affine(const fr_kernels *k, list owner, object W, object b, object num_threads):
    """x W + b, x W where b is None, none where W is; packed arrays live as long as `owner`."""
    if W is None:
        return Affine(NULL, NULL, 0, 0, 0)
    cdef fr_layout layout = plain_layout(k, W.shape[1])
    cdef Buffer matrix = packed(k, W, &layout, num_threads), bias
    cdef Affine result = Affine(matrix.data, NULL, W.shape[0], W.shape[0], W.shape[1])
    owner.append(matrix)
    if b is not None:
        bias = packed(k, b, &layout, num_threads)
        result.b = bias.data
        owner.append(bias)
    return result


cdef Affine affine_transposed(const fr_kernels *k, list owner, object W, object num_threads):
    """x W^T, none where W is None; the packed matrix lives as long as `owner`."""
    if W is None:
        return Affine(NULL, NULL, 0, 0, 0)
    cdef fr_layout layout = plain_layout(k, W.shape[1])
    cdef Buffer matrix = packed_transposed(k, W, &layout, num_threads)
    owner.append(matrix)
    return Affine(matrix.data, NULL, W.shape[1], packed_columns(k, &layout), W.shape[0])


cdef void apply(
    const fr_kernels *k, const Affine *affine, Workspace work, Matrix x, Matrix y, Call *call
) noexcept nogil:
    """y = the affine map of x."""
    point_rows(work.rows, x)
    point_rows(work.results, y)
    apply_pointed(k, affine, work, x.rows, call)


cdef void apply_pointed(
    const fr_kernels *k, const Affine *affine, Workspace work, fr_index rows, Call *call
) noexcept nogil:
    """The affine map of so many rows, to which and to whose results the workspace points."""
    cdef fr_product product = affine_product(k, affine, work.rows, work.results)
    multiply(k, &product, 0, rows, call)


cdef object applied(const fr_kernels *k, const Affine *affine, object x, object num_threads):
    """The affine map of x as a new array; its rows are split over threads."""
    cdef list owner = []
    y = empty((len(x), affine.columns), x.dtype)
    cdef fr_product product = affine_product(
        k, affine, row_pointers(owner, as_matrix(x)), row_pointers(owner, as_matrix(y))
    )
    run_product(k, &product, x.shape[0], num_threads)
    return y


cdef fr_product affine_product(
    const fr_kernels *k, const Affine *affine, void **rows, void **results
) noexcept nogil:
    cdef fr_product product = plain_product(
        k, rows, 1, affine.depth, affine.W, affine.packed_depth, results, affine.columns
    )
    product.bias = affine.b
    return product
