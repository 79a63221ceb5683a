from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_layout, fr_pack

cdef fr_layout plain_layout(
    const fr_kernels *kernels, fr_index columns, fr_index first=*
) noexcept nogil
cdef fr_layout gate_layout(
    const fr_kernels *kernels, fr_index hidden, fr_index gates, const fr_index *order=*
) noexcept nogil
cdef fr_layout apart_layout(
    const fr_kernels *kernels, fr_index hidden, fr_index gates
) noexcept nogil
cdef fr_index packed_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil
cdef fr_index used_columns(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil
cdef fr_layout packed_layout(const fr_kernels *kernels, const fr_layout *layout) noexcept nogil
cdef Buffer packed(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, object num_threads
)
cdef Buffer packed_by(
    const fr_kernels *kernels, fr_pack *pack, const void *source, fr_index depth,
    fr_index row_step, const fr_layout *layout, object num_threads,
)
cdef Buffer packed_transposed(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, object num_threads
)
