"""Optimizer updates: the functions of `fastrnn._reference.optimizers`, one pass each."""

cimport numpy as cnp
from libc.math cimport pow, sqrt

from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport fr_index, fr_kernels, fr_update, fr_update_options
from fastrnn._kernels.runtime.threads cimport MOVE_WORK, parallel_for, threads_for

cnp.import_array()

# Numbers whose squares are summed at once, whatever the number of threads; shares of an update
# begin at whole blocks, too.
cdef fr_index BLOCK = 4096


cdef struct Update:
    fr_update *update
    int array_count
    char *arrays[4]  # parameter, gradient, moments
    fr_index count
    fr_index itemsize
    fr_update_options options


cdef struct Scaling:
    const fr_kernels *kernels
    char *data
    fr_index count
    double factor


cdef struct Squares:
    const fr_kernels *kernels
    const char *data
    fr_index count
    double *sums  # of each block


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


def scale_in_place(cnp.ndarray array not None, double factor):
    cdef Scaling job = Scaling(
        kernels_for(array.itemsize), cnp.PyArray_BYTES(array), cnp.PyArray_SIZE(array), factor
    )
    cdef int threads = threads_for(None, MOVE_WORK * job.count, blocks_of(job.count))
    with nogil:
        parallel_for(scale_share, &job, threads)


def squared_norm(cnp.ndarray array not None):
    cdef fr_index blocks = blocks_of(cnp.PyArray_SIZE(array)), i
    cdef Buffer sums = Buffer(blocks, sizeof(double))
    cdef Squares job = Squares(
        kernels_for(array.itemsize), cnp.PyArray_BYTES(array), cnp.PyArray_SIZE(array),
        <double *>sums.data,
    )
    cdef int threads = threads_for(None, MOVE_WORK * job.count, blocks)
    cdef double total = 0
    with nogil:
        parallel_for(sum_squares, &job, threads)
    for i in range(blocks):
        total += job.sums[i]
    return total


cdef fr_index blocks_of(fr_index count) noexcept nogil:
    return (count + BLOCK - 1) // BLOCK


cdef fr_index share_begin(fr_index count, int t, int threads) noexcept nogil:
    """Where thread t's share of `count` numbers begins."""
    return min(blocks_of(count) * t // threads * BLOCK, count)


cdef int run_update(fr_update *update, tuple arrays, fr_update_options options) except -1:
    """Run an update on C-contiguous arrays of one size and dtype, split over threads."""
    cdef Update job
    cdef int i, threads
    job.update = update
    job.count = cnp.PyArray_SIZE(arrays[0])
    job.itemsize = arrays[0].itemsize
    job.options = options
    job.array_count = len(arrays)
    for i in range(job.array_count):
        job.arrays[i] = cnp.PyArray_BYTES(arrays[i])
    threads = threads_for(None, MOVE_WORK * job.count, blocks_of(job.count))
    with nogil:
        parallel_for(update_share, &job, threads)


cdef void update_share(void *job, int t, int threads) noexcept nogil:
    cdef Update *m = <Update *>job
    cdef fr_index first = share_begin(m.count, t, threads)
    cdef fr_index end = share_begin(m.count, t + 1, threads)
    cdef void *arrays[4]
    cdef int i
    for i in range(m.array_count):
        arrays[i] = m.arrays[i] + first * m.itemsize
    m.update(arrays, end - first, &m.options)


cdef void scale_share(void *job, int t, int threads) noexcept nogil:
    cdef Scaling *m = <Scaling *>job
    cdef fr_index first = share_begin(m.count, t, threads)
    cdef fr_index end = share_begin(m.count, t + 1, threads)
    m.kernels.scale(m.data + first * m.kernels.itemsize, end - first, m.factor)


cdef void sum_squares(void *job, int t, int threads) noexcept nogil:
    cdef Squares *m = <Squares *>job
    cdef fr_index blocks = blocks_of(m.count), i
    for i in range(blocks * t // threads, blocks * (t + 1) // threads):
        m.sums[i] = m.kernels.squared_norm(
            m.data + i * BLOCK * m.kernels.itemsize, min(BLOCK, m.count - i * BLOCK)
        )
