from fastrnn._kernels.recurrent.backward cimport Backward
from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_index, fr_kernels

cdef bint worth_projecting(fr_index rows, fr_index inputs) noexcept
cdef Buffer project_embedding(
    const fr_kernels *k, Weights weights, Buffer wx, object embedding, object num_threads
)
cdef int embedding_gradients(
    const Backward *b, const void *wx_t, object embedding, object dembedding, object dWx,
    object num_threads,
) except -1
