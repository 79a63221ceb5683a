/* The optimizers' updates, each one pass over its arrays: the parameter, its gradient and its
 * moments. Plain loops, which the compiler turns into vectors by itself. */
#ifndef FASTRNN_OPTIMIZERS_INL_H
#define FASTRNN_OPTIMIZERS_INL_H

#include <math.h>

#include "vec-inl.h"

/* options: lr. */
static void sgd(void *const *arrays, fr_index count, const double *options) {
    real *restrict p = arrays[0];
    const real *restrict g = arrays[1], rate = (real)options[0];
    for (fr_index i = 0; i < count; i++) p[i] -= rate * g[i];
}

/* options: lr, momentum. */
static void momentum(void *const *arrays, fr_index count, const double *options) {
    real *restrict p = arrays[0], *restrict v = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options[0], mu = (real)options[1];
    for (fr_index i = 0; i < count; i++) {
        v[i] = mu * v[i] - rate * g[i];
        p[i] += v[i];
    }
}

/* options: lr, eps. */
static void adagrad(void *const *arrays, fr_index count, const double *options) {
    real *restrict p = arrays[0], *restrict s = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options[0], eps = (real)options[1];
    for (fr_index i = 0; i < count; i++) {
        s[i] += g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

/* options: lr, rho, eps. */
static void rmsprop(void *const *arrays, fr_index count, const double *options) {
    real *restrict p = arrays[0], *restrict s = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options[0], eps = (real)options[2];
    const real keep = (real)options[1], add = (real)(1 - options[1]);
    for (fr_index i = 0; i < count; i++) {
        s[i] = keep * s[i] + add * g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

/* options: step_size, beta1, beta2, root_scale, eps, keep.
 *
 * m = beta1*m + (1-beta1)*g;  s = beta2*s + (1-beta2)*g*g;
 * p = keep*p - step_size * m / (root_scale*sqrt(s) + eps), the caller having folded the bias
 * corrections into step_size and root_scale, and decoupled weight decay into keep. */
static void adam(void *const *arrays, fr_index count, const double *options) {
    real *restrict p = arrays[0], *restrict m = arrays[2], *restrict s = arrays[3];
    const real *restrict g = arrays[1];
    const real rate = (real)options[0], root = (real)options[3], eps = (real)options[4];
    const real old1 = (real)options[1], new1 = (real)(1 - options[1]), decay = (real)options[5];
    const real old2 = (real)options[2], new2 = (real)(1 - options[2]);
    for (fr_index i = 0; i < count; i++) {
        m[i] = old1 * m[i] + new1 * g[i];
        s[i] = old2 * s[i] + new2 * g[i] * g[i];
        p[i] = decay * p[i] - rate * m[i] / (root * (real)sqrt(s[i]) + eps);
    }
}

#endif
