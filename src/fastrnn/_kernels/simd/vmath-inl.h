/* exp, sigmoid, tanh, logarithm and their like of a vector.
 *
 * e^x = 2^n (1 + p(r)), n = round(x / ln 2), r = x - n ln 2, p(r) = r + r^2 Q(r), Q interpolating
 * (e^r - 1 - r) / r^2 at the Chebyshev nodes of |r| <= ln 2 / 2 (relative error of the whole 1.0e-8
 * for float, 1.7e-17 for double, before rounding).
 *
 * Arguments are first limited to where n lies within the exponents from that of 0 to that of
 * infinity, so 2^n is 0 or infinity by itself at the ends, and nothing is left to be selected. A
 * NaN passes through the limits and meets each result as r, whatever its 2^n is.
 * The figures behind this form are in docs/decisions.md. */
#pragma once

#include <math.h>

#include "vec-inl.h"

#define EXPONENT_OF_INFINITY (EXPONENT_BIAS + 1)
#if FR_REAL_BYTES == 4
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#define TO_INTEGER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
#define LOG2_E 1.44269504088896341f
#define LN2 0.693147180559945309f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440054690583e-4f
#define SQRT_HALF 0.707106781186547524f
#define SMALLEST_NORMAL 1.17549435e-38f
#define LOG_TERMS 4
static const real EXP_Q[] = {0.5f, 0.166665763f, 0.0416665524f, 0.00836323295f, 0.00139262504f};
#else
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define TO_INTEGER 6755399441055744.0 /* 1.5 * 2^52 */
#define LOG2_E 1.4426950408889634
#define LN2 0.693147180559945309
#define LN2_HIGH 0.6931471803691238
#define LN2_LOW 1.9082149292705877e-10
#define SQRT_HALF 0.707106781186547524
#define SMALLEST_NORMAL 2.2250738585072014e-308
#define LOG_TERMS 11
static const real EXP_Q[] = {0.50000000000000011,    0.16666666666666669,    0.041666666666623824,
                             0.008333333333330039,   0.0013888888917367081,  0.00019841269863171557,
                             2.4801521057868204e-05, 2.7557268276905696e-06, 2.7620201591031547e-07,
                             2.5100472505694996e-08};
#endif

/* Where e^x has become 0, and infinity. */
#define EXP_LOW (-EXPONENT_BIAS * LN2)
#define EXP_HIGH (EXPONENT_OF_INFINITY * LN2)
/* Beyond this, tanh is -1 or 1 in either type. */
#define TANH_LIMIT 20

/* n = round(x * factor), and 2^n for an exponent within range: the bias joins n in the sum. */
INLINE vec round_product(vec x, real factor, vec *two_to_n) {
    const real magic = TO_INTEGER + EXPONENT_BIAS;
    const vec shifted = x * factor + magic;
    *two_to_n = (vec)((ivec)shifted << MANTISSA_BITS);
    return shifted - magic;
}

/* Q(r), its even and its odd terms apart: half the latency of one chain, and no more operations as
 * r^2 is needed anyway. */
INLINE vec exp_q(vec r, vec r2) {
    const int degree = sizeof EXP_Q / sizeof EXP_Q[0] - 1;
    vec a = broadcast(EXP_Q[degree]), b = broadcast(EXP_Q[degree - 1]);
#pragma GCC unroll 16
    for (int i = degree - 2; i > 0; i -= 2) {
        a = a * r2 + EXP_Q[i];
        b = b * r2 + EXP_Q[i - 1];
    }
    if (degree % 2) return a * r + b;
    return b * r + (a * r2 + EXP_Q[0]);
}

/* e^(sign * x) = two_to_n * the result, for sign * x in [EXP_LOW, EXP_HIGH]; r is accurate for
 * every n, its ln 2 being in two parts (Cody and Waite 1980). */
INLINE vec exp_fraction(vec x, real sign, vec *two_to_n) {
    const vec n = round_product(x, sign * LOG2_E, two_to_n);
    const vec r = sign * x - n * LN2_HIGH - n * LN2_LOW, r2 = r * r;
    return 1 + r + r2 * exp_q(r, r2);
}

/* e^x within 2 ulp where that is normal; 0 below -(EXPONENT_BIAS - 1/2) ln 2, infinity above
 * (EXPONENT_BIAS + 1/2) ln 2. */
INLINE vec vexp(vec x) {
    vec two_to_n;
    const vec fraction = exp_fraction(at_most(at_least(x, EXP_LOW), EXP_HIGH), 1, &two_to_n);
    return two_to_n * fraction;
}

/* 1 / (1 + e^-x) within 4 ulp where that is normal. */
INLINE vec vsigmoid(vec x) {
    vec two_to_n;
    const vec fraction = exp_fraction(at_most(at_least(x, -EXP_HIGH), -EXP_LOW), -1, &two_to_n);
    return 1 / (1 + two_to_n * fraction);
}

/* tanh x = m / (m + 2), m = e^2x - 1 without cancellation near 0; within 4 ulp. A relative error of
 * 2x makes none larger in tanh x, so ln 2 in one part will do. */
INLINE vec vtanh(vec x) {
    vec two_to_n;
    const vec limited = at_most(at_least(x, -TANH_LIMIT), TANH_LIMIT);
    const vec n = round_product(limited, 2 * LOG2_E, &two_to_n);
    const vec r = limited + limited - n * LN2, r2 = r * r;
    const vec m = two_to_n * (r + r2 * exp_q(r, r2)) + (two_to_n - 1);
    return m / (m + 2);
}

/* e^x - 1 without cancellation near 0; within 4 ulp. */
INLINE vec vexpm1(vec x) {
    vec two_to_n;
    const vec limited = at_most(at_least(x, EXP_LOW), EXP_HIGH);
    const vec n = round_product(limited, LOG2_E, &two_to_n);
    const vec r = limited - n * LN2_HIGH - n * LN2_LOW, r2 = r * r;
    const vec small = r + r2 * exp_q(r, r2);
    /* From 2^30 on the 1 is lost in rounding, and infinity must not meet a negative number. */
    const vec large = two_to_n * (1 + small), other = two_to_n * small + (two_to_n - 1);
    return vselect(two_to_n > (real)(1 << 30), large, other);
}

/* ln x within 2 ulp; -infinity of 0, and of a number that is not normal, NaN below.
 *
 * x = 2^n (1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1); with s = f / (2 + f) and z = s^2,
 * ln(1 + f) = 2 atanh(s) = f - (f^2/2 - s (f^2/2 + 2z/3 + 2z^2/5 + ...)), as in fdlibm. */
INLINE vec vlog(vec x) {
    const ivec shifted = (ivec)x - (ivec)broadcast(SQRT_HALF);
    const ivec exponent = shifted >> MANTISSA_BITS;
    const vec n = __builtin_convertvector(exponent, vec);
    const vec f = (vec)((ivec)x - (exponent << MANTISSA_BITS)) - 1;
    const vec s = f / (2 + f), z = s * s, half = f * f * (real)0.5;
    vec series = broadcast((real)2 / (2 * LOG_TERMS + 1));
#pragma GCC unroll 16
    for (int i = LOG_TERMS - 1; i > 0; i--) series = series * z + (real)2 / (2 * i + 1);
    const vec result = n * LN2_HIGH + (f - (half - (s * (half + z * series) + n * LN2_LOW)));
    const vec positive = vselect(x < SMALLEST_NORMAL, broadcast(-INFINITY), result);
    const vec known = vselect(x < 0, broadcast(NAN), positive);
    return vselect((x != x) | (x == INFINITY), x, known);
}

/* ln(1 + x) within 4 ulp: what 1 + x has lost of x comes back. */
INLINE vec vlog1p(vec x) {
    const vec whole = 1 + x, result = vlog(whole);
    const vec lost = (x - (whole - 1)) / whole;
    return vselect((whole == 0) | (whole == INFINITY), result, result + lost);
}

INLINE vec vabs(vec x) { return (vec)((ivec)x & ~(ivec)broadcast(-(real)0)); }
