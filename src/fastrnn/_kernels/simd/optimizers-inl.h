/* The optimizers' updates, each one pass over its arrays: the parameter, its gradient and its
 * moments. Plain loops, which the compiler turns into vectors by itself. */
#pragma once

#include <math.h>

#include "vec-inl.h"

static void sgd(void *const *arrays, fr_index count, const fr_update_options *options) {
    real *restrict p = arrays[0];
    const real *restrict g = arrays[1], rate = (real)options->lr;
    for (fr_index i = 0; i < count; i++) p[i] -= rate * g[i];
}

static void momentum(void *const *arrays, fr_index count, const fr_update_options *options) {
    real *restrict p = arrays[0], *restrict v = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options->lr, mu = (real)options->momentum;
    for (fr_index i = 0; i < count; i++) {
        v[i] = mu * v[i] - rate * g[i];
        p[i] += v[i];
    }
}

static void adagrad(void *const *arrays, fr_index count, const fr_update_options *options) {
    real *restrict p = arrays[0], *restrict s = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options->lr, eps = (real)options->eps;
    for (fr_index i = 0; i < count; i++) {
        s[i] += g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

static void rmsprop(void *const *arrays, fr_index count, const fr_update_options *options) {
    real *restrict p = arrays[0], *restrict s = arrays[2];
    const real *restrict g = arrays[1], rate = (real)options->lr, eps = (real)options->eps;
    const real keep = (real)options->rho, add = (real)(1 - options->rho);
    for (fr_index i = 0; i < count; i++) {
        s[i] = keep * s[i] + add * g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

/* m = beta1*m + (1-beta1)*g;  s = beta2*s + (1-beta2)*g*g;
 * p = keep*p - lr * m / (root_scale*sqrt(s) + eps): the caller has folded the bias corrections into
 * lr and root_scale, and decoupled weight decay into keep. */
static void adam(void *const *arrays, fr_index count, const fr_update_options *options) {
    real *restrict p = arrays[0], *restrict m = arrays[2], *restrict s = arrays[3];
    const real *restrict g = arrays[1];
    const real rate = (real)options->lr, root = (real)options->root_scale;
    const real eps = (real)options->eps, keep = (real)options->keep;
    const real old1 = (real)options->beta1, new1 = (real)(1 - options->beta1);
    const real old2 = (real)options->beta2, new2 = (real)(1 - options->beta2);
    for (fr_index i = 0; i < count; i++) {
        m[i] = old1 * m[i] + new1 * g[i];
        s[i] = old2 * s[i] + new2 * g[i] * g[i];
        p[i] = keep * p[i] - rate * m[i] / (root * (real)sqrt(s[i]) + eps);
    }
}
