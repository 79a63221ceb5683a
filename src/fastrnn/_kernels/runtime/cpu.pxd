from fastrnn._kernels.simd cimport fr_kernels

cdef const fr_kernels *kernels_for(Py_ssize_t itemsize) noexcept
cdef unsigned flush_denormals() noexcept nogil
cdef void restore_mode(unsigned mode) noexcept nogil
