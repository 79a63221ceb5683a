from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_kernels, fr_layout

cdef int format_of(object matrix) noexcept
cdef Buffer packed_weights(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, list owner,
    object num_threads,
)
