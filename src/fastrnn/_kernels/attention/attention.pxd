cimport numpy as cnp

from fastrnn._kernels.linalg.matrix cimport Matrix, Workspace
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.threads cimport fr_work
from fastrnn._kernels.simd cimport fr_index, fr_kernels

# Attention over a batch; what a pass does not use is NULL.
cdef struct AttentionJob:
    const fr_kernels *kernels
    char *memory           # for each thread: the workspace of its products
    fr_index thread_bytes
    fr_index largest_side
    fr_index sequences
    fr_index heads
    fr_index queries       # of a sequence, at most
    const cnp.int64_t *lengths   # of the keys; NULL: all of them
    const cnp.int64_t *steps     # queries that count in the gradients of the memory; NULL: all
    const char *v          # of the additive score, else NULL
    double scale           # of the other scores
    # For each sequence:
    const Matrix *mean         # of its heads' attention; NULL: not wanted
    const Matrix *dattention   # of each of its heads
    # For each head of each sequence:
    const Matrix *q
    const Matrix *k
    const Matrix *values
    const Matrix *attention
    const Matrix *context
    const Matrix *dcontext
    const Matrix *dscore   # scratch of the attention's shape
    const Matrix *dq
    const Matrix *dk
    const Matrix *dvalues
    const Matrix *dv       # of one row
    bint shared            # whether dk is dvalues, to which it adds

cdef int refuse_reshaped(list referred, str names) except -1
cdef tuple project_memory(
    object keys, object values, object weights, object score, object lengths, object num_threads
)
cdef tuple project_memory_backward(
    object dk, object dv, object keys, object values, object weights, object score, object lengths,
    object num_threads,
)
cdef double attention_work(const AttentionJob *m) noexcept
cdef double query_work(const AttentionJob *m, fr_index n, fr_index keys) noexcept nogil
# For queries first .. end-1 of head n, or of all heads of sequence n:
cdef void attend(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end, Workspace work,
    Call *call,
) noexcept nogil
cdef void score_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end
) noexcept nogil
cdef void query_gradient(
    const AttentionJob *m, fr_index n, fr_index keys, fr_index first, fr_index end, Workspace work,
    Call *call,
) noexcept nogil
cdef void average_heads(
    const AttentionJob *m, fr_index n, fr_index first, fr_index end
) noexcept nogil
cdef fr_index keys_of(const AttentionJob *m, fr_index n) noexcept nogil
cdef Workspace workspace_of(const AttentionJob *m, int t) noexcept nogil
cdef void memory_share(void *job, int t, Call *call) noexcept nogil
cdef Matrix *matrices(list owner, cnp.ndarray array, fr_index heads=*) except NULL
cdef AttentionJob memory_job(
    list owner, object score, fr_index heads, object k, object weights, object values,
    object lengths,
)
cdef AttentionJob new_job(
    list owner, object score, fr_index heads, object q, object k, object weights, object values,
    object lengths, object attention,
)
cdef int run(AttentionJob *job, fr_work *share, double work, object num_threads) except -1
cdef int give_workspace(AttentionJob *job, list owner, int threads) except -1
