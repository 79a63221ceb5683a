/* exp, sigmoid and tanh of a vector.
 *
 * exp(x) = 2^n (1 + p(r)), n = round(x / ln 2), r = x - n ln 2 in two parts (Cody and Waite 1980),
 * p(r) = r + r^2 Q(r), Q interpolating (e^r - 1 - r) / r^2 at the Chebyshev nodes of |r| <= ln 2 / 2
 * (relative error of the whole 1.0e-8 for float, 1.7e-17 for double, before rounding).
 * Clamps are written so that NaN fails every comparison and passes through. */
#ifndef FASTRNN_VMATH_H
#define FASTRNN_VMATH_H

#include "vec.h"

#if FR_REAL_BYTES == 4
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define LOG2_E 1.44269504088896341f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440054690583e-4f
#define EXP_LOW -87.33654f
#define EXP_HIGH 88.37626f
static const real EXP_Q[] = {0.5f, 0.166665763f, 0.0416665524f, 0.00836323295f, 0.00139262504f};
#else
#define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define LOG2_E 1.4426950408889634
#define LN2_HIGH 0.6931471803691238
#define LN2_LOW 1.9082149292705877e-10
#define EXP_LOW -708.3964185322641
#define EXP_HIGH 709.4361393
static const real EXP_Q[] = {
    0.50000000000000011,    0.16666666666666669,    0.041666666666623824,   0.008333333333330039,
    0.0013888888917367081,  0.00019841269863171557, 2.4801521057868204e-05, 2.7557268276905696e-06,
    2.7620201591031547e-07, 2.5100472505694996e-08};
#endif

INLINE vec clamp(vec x, real low, real high) {
    x = select(x < low, broadcast(low), x);
    return select(x > high, broadcast(high), x);
}

/* e^x = scale * (1 + p) for x in [EXP_LOW, EXP_HIGH]. */
INLINE void exp_parts(vec x, vec *scale, vec *p) {
    vec shifted = x * LOG2_E + ROUND_MAGIC;
    vec n = shifted - ROUND_MAGIC;
    vec r = x - n * LN2_HIGH;
    r = r - n * LN2_LOW;
    const int degree = sizeof EXP_Q / sizeof EXP_Q[0] - 1;
    vec q = broadcast(EXP_Q[degree]);
#pragma GCC unroll 16
    for (int i = degree - 1; i >= 0; i--) q = q * r + EXP_Q[i];
    *p = r + r * r * q;
    *scale = (vec)(((ivec)shifted << MANTISSA_BITS) + ((bits)EXPONENT_BIAS << MANTISSA_BITS));
}

/* e^x within 2 ulp; 0 below EXP_LOW, infinity above EXP_HIGH. */
INLINE vec vexp(vec x) {
    vec scale, p;
    exp_parts(clamp(x, EXP_LOW, EXP_HIGH), &scale, &p);
    vec y = scale + scale * p;
    y = select(x < EXP_LOW, broadcast(0), y);
    return select(x > EXP_HIGH, broadcast((real)INFINITY), y);
}

/* 1 / (1 + e^-x) within 4 ulp where the result is normal. */
INLINE vec vsigmoid(vec x) {
    vec scale, p;
    exp_parts(clamp(-x, EXP_LOW, EXP_HIGH), &scale, &p);
    return 1 / (1 + scale + scale * p);
}

/* tanh x = m / (m + 2), m = e^2x - 1 without cancellation near 0; within 4 ulp. */
INLINE vec vtanh(vec x) {
    vec scale, p;
    exp_parts(clamp(x + x, EXP_LOW, EXP_HIGH), &scale, &p);
    vec m = scale * p + (scale - 1);
    return m / (m + 2);
}

#endif
