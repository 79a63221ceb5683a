/* Softmax of a row, and softmax cross-entropy in one pass over the logits. */
#include "vmath.h"

INLINE real row_max(const real *x, fr_index count) {
    const real lowest = -(real)INFINITY;
    vec max = broadcast(lowest);
    fr_index j = 0;
    for (; j + VL <= count; j += VL) {
        const vec value = load(x + j);
        max = select(value > max, value, max);
    }
    real result = lowest;
    for (fr_index i = 0; i < VL; i++) result = max[i] > result ? max[i] : result;
    for (; j < count; j++) result = x[j] > result ? x[j] : result;
    return result;
}

/* dst = e^(src - max); returns the sum. */
INLINE real shifted_exp(real *dst, const real *src, fr_index count, real max) {
    vec sum = {0};
    for (fr_index j = 0; j < count; j += VL) {
        const fr_index n = count - j;
        const vec e = first_lanes(vexp(load_part(src + j, n) - max), n);
        sum += e;
        store_part(dst + j, e, n);
    }
    return sum_lanes(sum);
}

INLINE void scale_row(real *row, fr_index count, real factor) {
    for (fr_index j = 0; j < count; j++) row[j] *= factor;
}

static void softmax(void *row, fr_index count) {
    const real sum = shifted_exp(row, row, count, row_max(row, count));
    scale_row(row, count, 1 / sum);
}

/* drow comes in as the gradient of the softmax `row` and leaves as that of its argument. */
static void softmax_backward(void *drow, const void *row, fr_index count) {
    real *d = drow;
    const real *p = row;
    vec sum = {0};
    for (fr_index j = 0; j < count; j += VL)
        sum += load_part(d + j, count - j) * load_part(p + j, count - j);
    const real mean = sum_lanes(sum);
    for (fr_index j = 0; j < count; j++) d[j] = p[j] * (d[j] - mean);
}

/* -log softmax(logits)[target]; where dlogits is not NULL also scale * (softmax - onehot). */
static double cross_entropy(const void *logits, fr_index count, fr_index target, double scale,
                            void *dlogits) {
    const real *x = logits;
    const real max = row_max(x, count);
    real sum;
    if (dlogits) {
        real *d = dlogits;
        sum = shifted_exp(d, x, count, max);
        scale_row(d, count, (real)scale / sum);
        d[target] -= (real)scale;
    } else {
        vec total = {0};
        for (fr_index j = 0; j < count; j += VL)
            total += first_lanes(vexp(load_part(x + j, count - j) - max), count - j);
        sum = sum_lanes(total);
    }
    return log((double)sum) + (double)max - (double)x[target];
}
