"""Optimizer updates: the functions of `fastrnn._reference.optimizers`, one pass each."""

cimport numpy as cnp
from libc.math cimport pow, sqrt

from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.runtime.threads cimport MOVE_WORK, run_parallel, fr_work
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_update, fr_update_options

cnp.import_array()

# Numbers whose squares are summed at once, whatever the number of threads; shares of an update
# begin at whole blocks, too.
cdef fr_index BLOCK = 4096


# What is done with arrays of one size and dtype, C-contiguous; each thread has some of the numbers.
cdef struct Job:
    const fr_kernels *kernels
    int array_count
    char *arrays[4]  # parameter, gradient, moments
    fr_index count
    fr_update *update
    fr_update_options options
    double factor
    double *sums     # of the squares of each block


def sgd_update(param, grad, *, lr):
    cdef fr_update_options options
    options.lr = lr
    run_update(kernels_for(param.itemsize).sgd, (param, grad), options)


def momentum_update(param, grad, velocity, *, lr, momentum):
    cdef fr_update_options options
    options.lr, options.momentum = lr, momentum
    run_update(kernels_for(param.itemsize).momentum, (param, grad, velocity), options)


def adagrad_update(param, grad, square, *, lr, eps):
    cdef fr_update_options options
    options.lr, options.eps = lr, eps
    run_update(kernels_for(param.itemsize).adagrad, (param, grad, square), options)


def rmsprop_update(param, grad, square, *, lr, rho, eps):
    cdef fr_update_options options
    options.lr, options.rho, options.eps = lr, rho, eps
    run_update(kernels_for(param.itemsize).rmsprop, (param, grad, square), options)


def adam_update(
    param, grad, mean, square, *, double lr, double beta1, double beta2, eps, long long step,
    double weight_decay,
):
    cdef fr_update_options options
    options.lr = lr / (1 - pow(beta1, step))
    options.root_scale = 1 / sqrt(1 - pow(beta2, step))
    options.beta1, options.beta2, options.eps = beta1, beta2, eps
    options.keep = 1 - lr * weight_decay
    run_update(kernels_for(param.itemsize).adam, (param, grad, mean, square), options)


def scale_in_place(array, double factor):
    cdef Job job = job_of((array,))
    job.factor = factor
    run(scale_share, &job)


def squared_norm(array):
    cdef Job job = job_of((array,))
    cdef fr_index blocks = blocks_of(job.count), i
    cdef Buffer sums = Buffer(blocks, sizeof(double))
    cdef double total = 0
    job.sums = <double *>sums.data
    run(sum_squares, &job)
    for i in range(blocks):
        total += job.sums[i]
    return total


cdef int run_update(fr_update *update, tuple arrays, fr_update_options options) except -1:
    cdef Job job = job_of(arrays)
    job.update, job.options = update, options
    run(update_share, &job)


cdef Job job_of(tuple arrays):
    cdef Job job
    cdef int i
    job.count, job.array_count = cnp.PyArray_SIZE(arrays[0]), len(arrays)
    job.kernels = kernels_for(arrays[0].itemsize)
    for i in range(job.array_count):
        job.arrays[i] = cnp.PyArray_BYTES(arrays[i])
    return job


cdef int run(fr_work *share, Job *job) except -1:
    run_parallel(share, job, None, MOVE_WORK * job.count, blocks_of(job.count))


cdef fr_index blocks_of(fr_index count) noexcept nogil:
    return (count + BLOCK - 1) // BLOCK


cdef fr_index share_begin(fr_index count, int t, int threads) noexcept nogil:
    """Where thread t's share of `count` numbers begins."""
    return min(blocks_of(count) * t // threads * BLOCK, count)


cdef void update_share(void *job, int t, Call *call) noexcept nogil:
    cdef Job *m = <Job *>job
    cdef fr_index first = share_begin(m.count, t, call.threads)
    cdef void *arrays[4]
    cdef int i
    for i in range(m.array_count):
        arrays[i] = m.arrays[i] + first * m.kernels.itemsize
    m.update(arrays, share_begin(m.count, t + 1, call.threads) - first, &m.options)


cdef void scale_share(void *job, int t, Call *call) noexcept nogil:
    cdef Job *m = <Job *>job
    cdef fr_index first = share_begin(m.count, t, call.threads)
    m.kernels.scale(
        m.arrays[0] + first * m.kernels.itemsize, share_begin(m.count, t + 1, call.threads) - first,
        m.factor,
    )


cdef void sum_squares(void *job, int t, Call *call) noexcept nogil:
    cdef Job *m = <Job *>job
    cdef fr_index blocks = blocks_of(m.count), i
    for i in range(blocks * t // call.threads, blocks * (t + 1) // call.threads):
        m.sums[i] = m.kernels.squared_norm(
            m.arrays[0] + i * BLOCK * m.kernels.itemsize, min(BLOCK, m.count - i * BLOCK)
        )
