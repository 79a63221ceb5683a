"""Optimizer updates: the functions of `fastrnn._reference.optimizers`, one pass each."""

cimport numpy as cnp
from libc.math cimport pow, sqrt

from fastrnn._kernels.cpu cimport flush_denormals, kernels_for, restore_mode
from fastrnn._kernels.simd cimport fr_kernels

cnp.import_array()


def sgd_update(cnp.ndarray param not None, cnp.ndarray grad not None, *, double lr):
    cdef const fr_kernels *k = kernels_for(param.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.sgd(
            cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), cnp.PyArray_SIZE(param), lr
        )
        restore_mode(mode)


def momentum_update(
    cnp.ndarray param not None, cnp.ndarray grad not None, cnp.ndarray velocity not None, *,
    double lr, double momentum,
):
    cdef const fr_kernels *k = kernels_for(param.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.momentum(
            cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), cnp.PyArray_DATA(velocity),
            cnp.PyArray_SIZE(param), lr, momentum,
        )
        restore_mode(mode)


def adagrad_update(
    cnp.ndarray param not None, cnp.ndarray grad not None, cnp.ndarray square not None, *,
    double lr, double eps,
):
    cdef const fr_kernels *k = kernels_for(param.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.adagrad(
            cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), cnp.PyArray_DATA(square),
            cnp.PyArray_SIZE(param), lr, eps,
        )
        restore_mode(mode)


def rmsprop_update(
    cnp.ndarray param not None, cnp.ndarray grad not None, cnp.ndarray square not None, *,
    double lr, double rho, double eps,
):
    cdef const fr_kernels *k = kernels_for(param.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.rmsprop(
            cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), cnp.PyArray_DATA(square),
            cnp.PyArray_SIZE(param), lr, rho, eps,
        )
        restore_mode(mode)


def adam_update(
    cnp.ndarray param not None, cnp.ndarray grad not None, cnp.ndarray mean not None,
    cnp.ndarray square not None, *, double lr, double beta1, double beta2, double eps, long long step,
    double weight_decay,
):
    cdef double step_size = lr / (1 - pow(beta1, step))
    cdef double root_scale = 1 / sqrt(1 - pow(beta2, step))
    cdef const fr_kernels *k = kernels_for(param.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.adam(
            cnp.PyArray_DATA(param), cnp.PyArray_DATA(grad), cnp.PyArray_DATA(mean),
            cnp.PyArray_DATA(square), cnp.PyArray_SIZE(param), step_size, beta1, beta2, root_scale,
            eps, 1 - lr * weight_decay,
        )
        restore_mode(mode)


def squared_norm(cnp.ndarray array not None):
    cdef const fr_kernels *k = kernels_for(array.itemsize)
    cdef double total
    with nogil:
        total = k.squared_norm(cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array))
    return total


def scale_in_place(cnp.ndarray array not None, double factor):
    cdef const fr_kernels *k = kernels_for(array.itemsize)
    cdef unsigned mode
    with nogil:
        mode = flush_denormals()
        k.scale(cnp.PyArray_DATA(array), factor, cnp.PyArray_SIZE(array))
        restore_mode(mode)
