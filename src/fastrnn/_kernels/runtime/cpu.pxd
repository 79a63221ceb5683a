from fastrnn._kernels.simd cimport fr_cell_kernels, fr_int8_kernels, fr_kernels, fr_plan

cdef const fr_kernels *kernels_for(Py_ssize_t itemsize) noexcept
cdef const fr_int8_kernels *int8_kernels() noexcept
cdef const fr_cell_kernels *cell_kernels(const fr_kernels *kernels, str name) except NULL
cdef Py_ssize_t joined_bytes() noexcept nogil
cdef unsigned flush_denormals() noexcept nogil
cdef void restore_mode(unsigned mode) noexcept nogil
cdef const fr_plan *plan_of(const fr_kernels *kernels) noexcept nogil
