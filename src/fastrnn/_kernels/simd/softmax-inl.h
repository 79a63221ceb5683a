/* Softmax of a row, and softmax cross-entropy in one pass over the logits. */
#pragma once

#include <math.h>

#include "pointwise-inl.h"
#include "vec-inl.h"
#include "vmath-inl.h"

INLINE real row_max(const real *x, fr_index count) {
    const real lowest = -(real)INFINITY;
    vec max = broadcast(lowest);
    fr_index j = 0;
    for (; j + VL <= count; j += VL) {
        const vec value = load(x + j);
        max = vselect(value > max, value, max);
    }
    real result = lowest;
    for (fr_index i = 0; i < VL; i++) result = max[i] > result ? max[i] : result;
    for (; j < count; j++) result = x[j] > result ? x[j] : result;
    return result;
}

/* Returns the sum of e^(src - max) for a block of numbers, and the numbers themselves in dst where
 * that is not NULL; where total is not NULL, there the sum of src - max. */
INLINE real shifted_exp_block(real *dst, const real *src, fr_index count, real max, real *total) {
    vec sum = {0}, exponents = {0};
    for (fr_index j = 0; j < count; j += VL) {
        const fr_index n = count - j;
        const vec shifted = load_part(src + j, n) - max;
        const vec e = first_lanes(vexp(shifted), n);
        sum += e;
        if (dst) store_part(dst + j, e, n);
        if (total) exponents += first_lanes(shifted, n);
    }
    if (total) *total = sum_lanes(exponents);
    return sum_lanes(sum);
}

/* The same for a row, a block after the other. */
INLINE double shifted_exp(real *dst, const real *src, fr_index count, real max, double *total) {
    double sum = 0;
    if (total) *total = 0;
    for (fr_index j = 0; j < count; j += FR_SUM_BLOCK) {
        real exponents;
        sum += (double)shifted_exp_block(dst ? dst + j : NULL, src + j,
                                         min_index(count - j, FR_SUM_BLOCK), max,
                                         total ? &exponents : NULL);
        if (total) *total += (double)exponents;
    }
    return sum;
}

static void softmax(void *row, fr_index count) {
    const real sum = (real)shifted_exp(row, row, count, row_max(row, count), NULL);
    scale_row(row, count, 1 / sum);
}

/* a . b */
INLINE double dot_row(const real *a, const real *b, fr_index count) {
    double total = 0;
    for (fr_index first = 0; first < count; first += FR_SUM_BLOCK) {
        const fr_index end = min_index(count, first + FR_SUM_BLOCK);
        vec sum = {0};
        for (fr_index j = first; j < end; j += VL)
            sum += load_part(a + j, end - j) * load_part(b + j, end - j);
        total += (double)sum_lanes(sum);
    }
    return total;
}

/* drow comes in as the gradient of the softmax `row` and leaves as that of its argument. */
static void softmax_backward(void *drow, const void *row, fr_index count) {
    real *d = drow;
    const real *p = row, mean = (real)dot_row(d, p, count);
    for (fr_index j = 0; j < count; j++) d[j] = p[j] * (d[j] - mean);
}

/* -sum(q * log p), p = softmax(logits), q = (1 - smoothing) * onehot + smoothing / count; where
 * dlogits is not NULL also scale * (p - q). */
static double cross_entropy(const void *logits, fr_index count, fr_index target, double scale,
                            double smoothing, void *dlogits) {
    const real *x = logits;
    real *d = dlogits;
    const real max = row_max(x, count);
    double sum, total = 0;
    if (d) { /* four loops, each without what it does not need */
        sum = smoothing ? shifted_exp(d, x, count, max, &total)
                        : shifted_exp(d, x, count, max, NULL);
        const real factor = (real)scale / (real)sum, spread = (real)(scale * smoothing / count);
        if (smoothing)
            for (fr_index j = 0; j < count; j++) d[j] = d[j] * factor - spread;
        else
            scale_row(d, count, factor);
        d[target] -= (real)(scale * (1 - smoothing));
    } else {
        sum = smoothing ? shifted_exp(NULL, x, count, max, &total)
                        : shifted_exp(NULL, x, count, max, NULL);
    }
    const double log_sum = log(sum);
    const double below = (double)max - (double)x[target]; /* first: beside 1e16, log_sum is lost */
    if (!smoothing) return log_sum + below;               /* no 0 * infinity below */
    return log_sum + (1 - smoothing) * below - smoothing * total / (double)count;
}
