/* Loops over plain arrays, which the compiler turns into vectors by itself: dropout and the
 * optimizers' updates, each one pass over its arrays. */
#include "vmath.h"

static void add_rows(void *dst, const void *src, fr_index count) {
    real *d = dst;
    const real *s = src;
    for (fr_index i = 0; i < count; i++) d[i] += s[i];
}

static void dropout(void *dst, const void *src, const unsigned char *keep, double scale,
                    fr_index count) {
    real *d = dst;
    const real *s = src, factor = (real)scale;
    for (fr_index i = 0; i < count; i++) d[i] = s[i] * (real)keep[i] * factor;
}

static void scale(void *dst, double factor, fr_index count) {
    scale_row(dst, count, (real)factor);
}

/* Sum of squares in double, in eight partial sums. */
static double squared_norm(const void *src, fr_index count) {
    const real *x = src;
    double sum[8] = {0};
    fr_index i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) sum[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < count; i++) sum[0] += (double)x[i] * (double)x[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static void sgd(void *param, const void *grad, fr_index count, double lr) {
    real *restrict p = param;
    const real *restrict g = grad, rate = (real)lr;
    for (fr_index i = 0; i < count; i++) p[i] -= rate * g[i];
}

static void momentum(void *param, const void *grad, void *velocity, fr_index count, double lr,
                     double decay) {
    real *restrict p = param, *restrict v = velocity;
    const real *restrict g = grad, rate = (real)lr, mu = (real)decay;
    for (fr_index i = 0; i < count; i++) {
        v[i] = mu * v[i] - rate * g[i];
        p[i] += v[i];
    }
}

static void adagrad(void *param, const void *grad, void *square, fr_index count, double lr,
                    double epsilon) {
    real *restrict p = param, *restrict s = square;
    const real *restrict g = grad, rate = (real)lr, eps = (real)epsilon;
    for (fr_index i = 0; i < count; i++) {
        s[i] += g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

static void rmsprop(void *param, const void *grad, void *square, fr_index count, double lr,
                    double rho, double epsilon) {
    real *restrict p = param, *restrict s = square;
    const real *restrict g = grad, rate = (real)lr, eps = (real)epsilon;
    const real keep = (real)rho, add = (real)(1 - rho);
    for (fr_index i = 0; i < count; i++) {
        s[i] = keep * s[i] + add * g[i] * g[i];
        p[i] -= rate * g[i] / ((real)sqrt(s[i]) + eps);
    }
}

/* m = beta1*m + (1-beta1)*g;  s = beta2*s + (1-beta2)*g*g;
 * p = keep*p - step_size * m / (root_scale*sqrt(s) + eps), the caller having folded the bias
 * corrections into step_size and root_scale, and decoupled weight decay into keep. */
static void adam(void *param, const void *grad, void *mean, void *square, fr_index count,
                 double step_size, double beta1, double beta2, double root_scale, double epsilon,
                 double keep) {
    real *restrict p = param, *restrict m = mean, *restrict s = square;
    const real *restrict g = grad;
    const real rate = (real)step_size, root = (real)root_scale, eps = (real)epsilon;
    const real old1 = (real)beta1, new1 = (real)(1 - beta1), decay = (real)keep;
    const real old2 = (real)beta2, new2 = (real)(1 - beta2);
    for (fr_index i = 0; i < count; i++) {
        m[i] = old1 * m[i] + new1 * g[i];
        s[i] = old2 * s[i] + new2 * g[i] * g[i];
        p[i] = decay * p[i] - rate * m[i] / (root * (real)sqrt(s[i]) + eps);
    }
}

#define MAP(name, function)                                                              \
    static void name(void *dst, const void *src, fr_index count) {                       \
        for (fr_index i = 0; i < count; i += VL)                                         \
            store_part((real *)dst + i, function(load_part((const real *)src + i, count - i)), \
                       count - i);                                                       \
    }
MAP(map_exp, vexp)
MAP(map_sigmoid, vsigmoid)
MAP(map_tanh, vtanh)
