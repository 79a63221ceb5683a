"""Softmax cross-entropy: the function of its namesake in `fastrnn._reference`, compiled."""

cimport numpy as cnp
from libc.string cimport memset

from fastrnn._kernels.linalg.matrix cimport Matrix, as_matrix
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.interrupt cimport Call, interrupted
from fastrnn._kernels.runtime.memory cimport Buffer, empty
from fastrnn._kernels.runtime.threads cimport run_parallel
from fastrnn._kernels.simd cimport fr_index, fr_kernels

# Multiply-adds that one logit costs, for the choice of threads.
cdef double WORK_PER_LOGIT = 16


cdef struct Job:
    const fr_kernels *kernels
    Matrix logits
    Matrix dlogits  # data == NULL: not wanted
    const cnp.int64_t *target
    bint ignoring
    cnp.int64_t ignored
    double share    # of a row in the mean
    double smoothing
    double *loss    # of every row


def softmax_cross_entropy(
    logits,
    cnp.ndarray targets not None,
    *,
    ignore_index,
    bint train,
    double label_smoothing=0.0,
    num_threads=None,
):
    dlogits = empty(logits.shape, logits.dtype) if train else None
    cdef Job job
    cdef fr_index r, counted = 0
    cdef double total = 0
    job.kernels = kernels_for(logits.itemsize)
    job.logits = as_matrix(logits)
    job.dlogits = as_matrix(dlogits) if train else Matrix(NULL, 0, 0, 0)
    job.target = <const cnp.int64_t *>cnp.PyArray_DATA(targets)
    job.ignoring = ignore_index is not None
    job.ignored = ignore_index if job.ignoring else 0
    cdef Buffer losses = Buffer(job.logits.rows, sizeof(double))
    job.loss = <double *>losses.data
    for r in range(job.logits.rows):
        counted += not (job.ignoring and job.target[r] == job.ignored)
    job.share = 1.0 / max(counted, 1)
    job.smoothing = label_smoothing
    cdef double work = WORK_PER_LOGIT * job.logits.rows * job.logits.columns
    run_parallel(cross_entropy_share, &job, num_threads, work, job.logits.rows)
    for r in range(job.logits.rows):
        total += job.loss[r]
    return total * job.share, dlogits


cdef void cross_entropy_share(void *job, int t, Call *call) noexcept nogil:
    cdef Job *m = <Job *>job
    cdef char *dlogits = NULL
    cdef fr_index rows = m.logits.rows, r
    for r in range(rows * t // call.threads, rows * (t + 1) // call.threads):
        if interrupted(call, WORK_PER_LOGIT * m.logits.columns):
            return
        if m.dlogits.data:
            dlogits = m.dlogits.data + r * m.dlogits.row_bytes
        if not (m.ignoring and m.target[r] == m.ignored):
            m.loss[r] = m.kernels.cross_entropy(
                m.logits.data + r * m.logits.row_bytes, m.logits.columns, m.target[r], m.share,
                m.smoothing, dlogits,
            )
            continue
        m.loss[r] = 0
        if dlogits:
            memset(dlogits, 0, m.logits.columns * m.kernels.itemsize)
