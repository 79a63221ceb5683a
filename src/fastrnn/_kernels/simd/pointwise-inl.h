/* Functions of whole arrays, number by number. All but the last are plain loops, which the compiler
 * turns into vectors by itself. */
#pragma once

#include "vec-inl.h"
#include "vmath-inl.h"

INLINE void scale_row(real *row, fr_index count, real factor) {
    for (fr_index j = 0; j < count; j++) row[j] *= factor;
}

static void scale(void *dst, fr_index count, double factor) { scale_row(dst, count, (real)factor); }

#define UPDATE(name, update)                                                                       \
    static void name(void *dst, const void *src, fr_index count) {                                 \
        real *d = dst;                                                                             \
        const real *s = src;                                                                       \
        for (fr_index i = 0; i < count; i++) update;                                               \
    }
UPDATE(add_rows, d[i] += s[i])
UPDATE(multiply_rows, d[i] *= s[i])
UPDATE(tanh_backward, d[i] *= 1 - s[i] * s[i])

static void dropout(void *dst, const void *src, const unsigned char *keep, double scale,
                    fr_index count) {
    real *d = dst;
    const real *s = src, factor = (real)scale;
    for (fr_index i = 0; i < count; i++) d[i] = s[i] * (real)keep[i] * factor;
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

#define MAP(name, function)                                                              \
    static void name(void *dst, const void *src, fr_index count) {                       \
        for (fr_index i = 0; i < count; i += VL)                                         \
            store_part((real *)dst + i, function(load_part((const real *)src + i, count - i)), \
                       count - i);                                                       \
    }
MAP(map_exp, vexp)
MAP(map_sigmoid, vsigmoid)
MAP(map_tanh, vtanh)
