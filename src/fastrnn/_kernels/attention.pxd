cimport numpy as cnp

from fastrnn._kernels.matrix cimport Matrix, Workspace
from fastrnn._kernels.simd cimport fr_index, fr_kernels

# Attention over a batch; what a pass does not use is NULL.
cdef struct Job:
    const fr_kernels *kernels
    char *memory           # for each thread: the workspace of its products
    fr_index thread_bytes
    fr_index largest_side
    fr_index sequences
    fr_index heads
    cnp.int64_t *lengths   # of the keys; NULL: all of them
    const char *v          # of the additive score, else NULL
    double scale           # of the other scores
    # For each sequence:
    const Matrix *mean     # of its heads' alignments; NULL: not wanted
    const Matrix *dalignment   # of each of its heads
    # For each head of each sequence:
    const Matrix *q
    const Matrix *k
    const Matrix *values
    const Matrix *alignment
    const Matrix *context
    const Matrix *dcontext
    const Matrix *dscore   # scratch of the alignment's shape
    const Matrix *dq
    const Matrix *dk
    const Matrix *dvalues
    const Matrix *dv       # of one row
    bint shared            # whether dk is dvalues, to which it adds


cdef Matrix *matrices(list owner, cnp.ndarray array, fr_index heads=*) except NULL
cdef void attend(const Job *m, fr_index n, fr_index keys, Workspace work) noexcept nogil
cdef void average_heads(const Job *m, fr_index n) noexcept nogil
