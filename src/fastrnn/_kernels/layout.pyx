"""Column layouts and packed copies of weights; simd/fastrnn_simd.h defines both."""

cimport numpy as cnp

from fastrnn._kernels.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_layout

cnp.import_array()


cdef fr_layout plain_layout(
    const fr_kernels *kernels, fr_index columns, fr_index first=0
) noexcept nogil:
    """Columns first .. first+columns-1 in their own order, four vectors a panel."""
    cdef fr_layout layout
    cdef fr_index v
    layout.width = 4
    layout.advance = 4 * kernels.lanes
    layout.panels = (columns + layout.advance - 1) // layout.advance
    for v in range(4):
        layout.start[v] = first + v * kernels.lanes
        layout.limit[v] = first + columns
    return layout


cdef fr_layout gate_layout(
    const fr_kernels *kernels, fr_index hidden, fr_index gates, const fr_index *order
) noexcept nogil:
    """A panel holds the gates of as many hidden units as a vector has lanes, in this order."""
    cdef fr_layout layout
    cdef fr_index v
    layout.width = gates
    layout.advance = kernels.lanes
    layout.panels = (hidden + kernels.lanes - 1) // kernels.lanes
    for v in range(gates):
        layout.start[v] = order[v] * hidden
        layout.limit[v] = (order[v] + 1) * hidden
    return layout


cdef fr_index packed_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """Columns of a packed matrix, those that exist only to fill vectors included."""
    return layout.panels * layout.width * kernels.lanes


cdef fr_index used_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """Columns of a packed matrix up to the last one that exists."""
    cdef fr_index last = layout.panels - 1, columns = last * layout.width * kernels.lanes, v, left
    for v in range(layout.width):
        left = layout.limit[v] - (layout.start[v] + last * layout.advance)
        columns += max(0, min(left, kernels.lanes))
    return columns


cdef fr_layout packed_layout(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """How the columns lie once they are packed: panel by panel, the last one ends with them."""
    cdef fr_layout result = layout[0]
    cdef fr_index v
    result.advance = layout.width * kernels.lanes
    for v in range(layout.width):
        result.start[v] = v * kernels.lanes
        result.limit[v] = used_columns(kernels, layout)
    return result


cdef bint turned(cnp.ndarray matrix) noexcept:
    """Whether this is the transposed view of a C-contiguous matrix."""
    return cnp.PyArray_NDIM(matrix) == 2 and not cnp.PyArray_IS_C_CONTIGUOUS(matrix)


cdef Buffer packed(const fr_kernels *kernels, object matrix, const fr_layout *layout):
    """Pack the layout's columns of a matrix (K, columns), C-contiguous or turned, or of a row."""
    cdef cnp.ndarray source = matrix
    cdef fr_index depth = source.shape[0] if source.ndim == 2 else 1
    cdef fr_index columns = source.shape[source.ndim - 1]
    cdef Buffer out = Buffer(depth * packed_columns(kernels, layout), kernels.itemsize)
    cdef bint is_turned = turned(source)
    with nogil:
        if is_turned:
            kernels.pack_turned(out.data, cnp.PyArray_DATA(source), depth, depth, layout)
        else:
            kernels.pack(out.data, cnp.PyArray_DATA(source), depth, columns, layout)
    return out


cdef Buffer packed_transposed(const fr_kernels *kernels, object matrix, const fr_layout *layout):
    """Pack the transpose of the layout's columns of a matrix, C-contiguous or turned."""
    cdef cnp.ndarray source = matrix
    cdef fr_index rows = source.shape[0], columns = source.shape[1]
    cdef fr_layout by_row = plain_layout(kernels, rows)
    cdef fr_index depth = packed_columns(kernels, layout)
    cdef Buffer out = Buffer(depth * packed_columns(kernels, &by_row), kernels.itemsize)
    cdef bint is_turned = turned(source)
    with nogil:
        if is_turned:
            kernels.pack_transposed_turned(
                out.data, cnp.PyArray_DATA(source), rows, rows, layout
            )
        else:
            kernels.pack_transposed(out.data, cnp.PyArray_DATA(source), rows, columns, layout)
    return out
