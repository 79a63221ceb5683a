/* Vectors of one instruction set and real type, by GNU C vector extensions.
 *
 * Compiled with FR_ISA (the set's name), FR_VECTOR_BYTES (64, 32, 16), FR_REGISTERS (32, 16) and
 * FR_REAL_BYTES (4, 8). */
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#include "fastrnn_simd.h"

#if FR_REAL_BYTES == 4
typedef float real;
typedef int32_t bits;
#else
typedef double real;
typedef int64_t bits;
#endif

#define VL ((fr_index)(FR_VECTOR_BYTES / FR_REAL_BYTES))
/* Rows of a tile, and vectors of a strip: as many as such a tile has registers for. */
#define TILE_ROWS 6
#if FR_REGISTERS == 32
#define STRIP 4
#else
#define STRIP 2
#endif
#define ALIGNED __attribute__((aligned(64)))
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))

typedef real vec __attribute__((vector_size(FR_VECTOR_BYTES)));
typedef bits ivec __attribute__((vector_size(FR_VECTOR_BYTES)));
typedef real vec_memory /* wherever reals lie */
    __attribute__((vector_size(FR_VECTOR_BYTES), may_alias, aligned(FR_REAL_BYTES)));

INLINE vec broadcast(real x) { return x - (vec){0}; }
INLINE vec load(const real *p) { return *(const vec_memory *)p; }
INLINE void store(real *p, vec v) { *(vec_memory *)p = v; }

/* The first n of VL numbers; the other lanes are 0. */
INLINE vec load_part(const real *p, fr_index n) {
    if (n >= VL) return load(p);
    vec v = {0};
    memcpy(&v, p, (size_t)n * sizeof(real));
    return v;
}

INLINE void store_part(real *p, vec v, fr_index n) {
    if (n >= VL)
        store(p, v);
    else
        memcpy(p, &v, (size_t)n * sizeof(real));
}

INLINE vec vselect(ivec mask, vec yes, vec no) {
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

/* max(x, low) and min(x, high) with NaN passing through: one instruction each on x86, which returns
 * its second operand where the comparison fails, and on ARM, where NaN is the result. */
#if defined __aarch64__ && FR_REAL_BYTES == 4
#define WITH_SUFFIX(name) name##q_f32
#elif defined __aarch64__
#define WITH_SUFFIX(name) name##q_f64
#elif FR_REAL_BYTES == 4
#define WITH_SUFFIX(name) name##_ps
#else
#define WITH_SUFFIX(name) name##_pd
#endif
#if FR_VECTOR_BYTES == 64 && defined __AVX512F__
#define LANEWISE(name) WITH_SUFFIX(_mm512_##name)
#elif FR_VECTOR_BYTES == 32 && defined __AVX__
#define LANEWISE(name) WITH_SUFFIX(_mm256_##name)
#elif FR_VECTOR_BYTES == 16 && defined __SSE2__
#define LANEWISE(name) WITH_SUFFIX(_mm_##name)
#elif FR_VECTOR_BYTES == 16 && defined __aarch64__
#define LANEWISE(name) WITH_SUFFIX(v##name)
#endif
#ifdef LANEWISE
INLINE vec vsqrt(vec x) { return LANEWISE(sqrt)(x); }
INLINE vec at_least(vec x, real low) { return LANEWISE(max)(broadcast(low), x); }
INLINE vec at_most(vec x, real high) { return LANEWISE(min)(broadcast(high), x); }
#else
INLINE vec vsqrt(vec x) {
    for (fr_index i = 0; i < VL; i++) x[i] = sqrt(x[i]);
    return x;
}
INLINE vec at_least(vec x, real low) { return vselect(x < low, broadcast(low), x); }
INLINE vec at_most(vec x, real high) { return vselect(x > high, broadcast(high), x); }
#endif

/* All lanes from n on cleared, whatever they hold. */
INLINE vec first_lanes(vec v, fr_index n) {
    if (n >= VL) return v;
    ivec lane;
    for (fr_index i = 0; i < VL; i++) lane[i] = (bits)i;
    return (vec)((ivec)v & (lane < (bits)n));
}

INLINE real sum_lanes(vec v) {
    real sum = 0;
    for (fr_index i = 0; i < VL; i++) sum += v[i];
    return sum;
}

/* The sum of all lanes, half on half: a chain of additions as short as it can be. */
INLINE real sum_halves(vec v) {
    typedef real quarter __attribute__((vector_size(16)));
    quarter q[2] = {{0}};
#if FR_VECTOR_BYTES == 64
    typedef real half __attribute__((vector_size(32)));
    half h[2];
    memcpy(h, &v, sizeof h);
    h[0] += h[1];
    memcpy(q, h, sizeof q);
#else
    memcpy(q, &v, sizeof v);
#endif
    q[0] += q[1];
    real sum = 0;
    for (fr_index i = 0; i < 16 / FR_REAL_BYTES; i++) sum += q[0][i];
    return sum;
}

INLINE fr_index min_index(fr_index a, fr_index b) { return a < b ? a : b; }

/* The fewest parts of at most `most` that are together `whole`, of nearly equal size: 32 rows are
 * 2*6 + 4*5, not 5*6 + 2. The first `larger` of them are one larger than `size`. */
typedef struct {
    fr_index count, size, larger;
} parts;

INLINE parts split_evenly(fr_index whole, fr_index most) {
    const fr_index count = whole <= most ? 1 : (whole + most - 1) / most;
    return (parts){count, whole / count, whole % count};
}

INLINE fr_index part_size(const parts *p, fr_index number) {
    return p->size + (number < p->larger);
}
