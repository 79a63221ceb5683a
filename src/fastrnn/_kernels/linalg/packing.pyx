"""Column layouts and packed copies of weights; simd/fastrnn_simd.h defines both."""

cimport numpy as cnp

from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.runtime.threads cimport run_parallel
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_layout, fr_pack

cnp.import_array()


# Multiply-adds that a packed number costs, for the choice of threads; docs/decisions.md says why it
# is less than MOVE_WORK.
cdef double PACK_WORK = 4


# What threads pack together; `depth` counts the rows of the source.
cdef struct Packing:
    const fr_kernels *kernels
    fr_pack *pack
    char *out
    const char *source
    fr_index depth
    fr_index row_step
    const fr_layout *layout


cdef fr_layout plain_layout(
    const fr_kernels *kernels, fr_index columns, fr_index first=0
) noexcept nogil:
    """Columns first .. first+columns-1 in their own order, four vectors a panel."""
    cdef fr_layout layout
    cdef fr_index v
    layout.width = 4
    layout.advance = 4 * kernels.lanes
    layout.panels = (columns + layout.advance - 1) // layout.advance
    layout.first, layout.group, layout.apart = 0, max(1, layout.panels), 0
    for v in range(4):
        layout.start[v] = first + v * kernels.lanes
        layout.limit[v] = first + columns
    return layout


cdef fr_layout gate_layout(
    const fr_kernels *kernels, fr_index hidden, fr_index gates, const fr_index *order=NULL
) noexcept nogil:
    """A panel holds the gates of as many hidden units as a vector has lanes, in this order."""
    cdef fr_layout layout
    cdef fr_index v, gate
    layout.width = gates
    layout.advance = kernels.lanes
    layout.panels = (hidden + kernels.lanes - 1) // kernels.lanes
    layout.first, layout.group, layout.apart = 0, layout.panels, 0
    for v in range(gates):
        gate = order[v] if order else v
        layout.start[v], layout.limit[v] = gate * hidden, (gate + 1) * hidden
    return layout


cdef fr_layout apart_layout(
    const fr_kernels *kernels, fr_index hidden, fr_index gates
) noexcept nogil:
    """Each gate has plain panels of its own."""
    cdef fr_layout layout = plain_layout(kernels, hidden)
    layout.panels, layout.apart = gates * layout.group, hidden
    return layout


cdef fr_index packed_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """Columns of a packed matrix, those that exist only to fill vectors included."""
    return layout.panels * layout.width * kernels.lanes


cdef fr_index used_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """Columns of a packed matrix up to the last one that exists."""
    cdef fr_index last = layout.panels - 1, columns = last * layout.width * kernels.lanes, v, left
    for v in range(layout.width):
        left = layout.limit[v] - (layout.start[v] + (layout.group - 1) * layout.advance)
        columns += max(0, min(left, kernels.lanes))
    return columns


cdef fr_layout packed_layout(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil:
    """How the columns lie once they are packed: panel by panel, the last one (of each gate that has
    panels of its own) ends with them."""
    cdef fr_layout result = layout[0], gate = layout[0]
    cdef fr_index v
    gate.panels = layout.group
    result.advance = layout.width * kernels.lanes
    result.apart = result.group * result.advance
    for v in range(layout.width):
        result.start[v] = v * kernels.lanes
        result.limit[v] = used_columns(kernels, &gate)
    return result


cdef bint transposed(cnp.ndarray matrix) noexcept:
    """Whether this is a transposed view: its columns lie one after another, not its rows."""
    return cnp.PyArray_NDIM(matrix) == 2 and not cnp.PyArray_IS_C_CONTIGUOUS(matrix)


cdef Buffer packed(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, object num_threads
):
    """Pack the layout's columns of a matrix (K, columns), C-contiguous or transposed, or of a row.

    Of a transposed matrix these may be some rows, so that its columns lie apart.
    """
    cdef cnp.ndarray source = matrix
    cdef fr_index depth = source.shape[0] if source.ndim == 2 else 1
    cdef fr_index row_step = source.shape[source.ndim - 1]
    cdef fr_pack *pack = kernels.pack_nn
    if transposed(source):
        pack, row_step = kernels.pack_tn, source.strides[1] // kernels.itemsize
    return packed_by(kernels, pack, cnp.PyArray_DATA(source), depth, row_step, layout, num_threads)


cdef Buffer packed_by(
    const fr_kernels *kernels, fr_pack *pack, const void *source, fr_index depth,
    fr_index row_step, const fr_layout *layout, object num_threads,
):
    """Pack the layout's columns of a matrix of `depth` rows; threads share its panels."""
    cdef fr_index size = depth * packed_columns(kernels, layout)
    cdef Buffer out = Buffer(size, kernels.itemsize)
    cdef Packing job = Packing(
        kernels, pack, <char *>out.data, <const char *>source, depth, row_step, layout
    )
    run_parallel(pack_panels, &job, num_threads, PACK_WORK * size, layout.panels)
    return out


cdef void pack_panels(void *job, int t, Call *call) noexcept nogil:
    """One thread's panels: those of a layout that begins with them."""
    cdef Packing *m = <Packing *>job
    cdef fr_layout layout = m.layout[0]
    cdef fr_index first = m.layout.panels * t // call.threads
    layout.first = first
    layout.panels = m.layout.panels * (t + 1) // call.threads - first
    m.pack(
        m.out + first * m.depth * layout.width * m.kernels.lanes * m.kernels.itemsize, m.source,
        m.depth, m.row_step, &layout,
    )


cdef Buffer packed_transposed(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, object num_threads
):
    """Pack the transpose of the layout's columns of a matrix, C-contiguous or transposed."""
    cdef cnp.ndarray source = matrix
    cdef fr_index rows = source.shape[0], columns = source.shape[1]
    cdef fr_layout by_row = plain_layout(kernels, rows)
    cdef fr_index size = packed_columns(kernels, layout) * packed_columns(kernels, &by_row)
    cdef Buffer out = Buffer(size, kernels.itemsize)
    cdef Packing job = Packing(
        kernels, kernels.pack_nt, <char *>out.data, cnp.PyArray_BYTES(source), rows,
        columns, layout,
    )
    if transposed(source):
        job.pack, job.row_step = kernels.pack_tt, source.strides[1] // kernels.itemsize
    run_parallel(pack_rows, &job, num_threads, PACK_WORK * size, by_row.panels)
    return out


cdef void pack_rows(void *job, int t, Call *call) noexcept nogil:
    """One thread's rows, which are whole panels once they are transposed."""
    cdef Packing *m = <Packing *>job
    cdef fr_index panel = 4 * m.kernels.lanes, panels = (m.depth + panel - 1) // panel
    cdef fr_index first = panels * t // call.threads * panel
    cdef fr_index end = min(panels * (t + 1) // call.threads * panel, m.depth)
    cdef fr_index step = m.row_step if m.pack == m.kernels.pack_nt else 1
    m.pack(
        m.out + first * packed_columns(m.kernels, m.layout) * m.kernels.itemsize,
        m.source + first * step * m.kernels.itemsize, end - first, m.row_step, m.layout,
    )
