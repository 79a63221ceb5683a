/* Products of 8-bit integers with exact sums: one translation unit for each way of an instruction
 * set. setup.py compiles it with FR_INT8, the name of the way, and with FR_ISA and the other macros
 * of the set whose float32 panels it reads. Its multiply-adds are not fused, so that all ways round
 * alike.
 *
 * A panel is packed as one of float32, with a quad in the place of a number: four neighbours of k
 * as bytes, in the order k, k+2, k+1, k+3. So the low bytes of both halves of a lane are the first
 * two of them. */
#include "vec-inl.h"

typedef int16_t halves __attribute__((vector_size(FR_VECTOR_BYTES)));
typedef uint16_t unsigned_halves __attribute__((vector_size(FR_VECTOR_BYTES)));
typedef bits ivec_memory __attribute__((vector_size(FR_VECTOR_BYTES), may_alias, aligned(4)));
typedef int32_t word __attribute__((may_alias, aligned(1)));

INLINE ivec load_words(const void *p) { return *(const ivec_memory *)p; }
INLINE ivec broadcast_word(const void *p) { return *(const word *)p - (ivec){0}; }

#if defined __AVX512VNNI__ || defined __AVXVNNI__

/* Four products of a lane at once, of bytes without sign by bytes with one: a row holds its numbers
 * plus 128, and a sum begins at what that adds to it. */
enum { NUMBER_BYTES = 1 };

INLINE ivec add_products(ivec sum, ivec a, ivec w) {
#if FR_VECTOR_BYTES == 64
    return (ivec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)w);
#else
    return (ivec)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)w);
#endif
}

INLINE ivec first_sum(const int32_t *start) { return load_words(start); }

/* sum[4 r] += a quad of each row times one of each column. */
INLINE void add_quad(const int rows, ivec *sum, const char *const *row, fr_index quad, ivec w) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        sum[4 * r] = add_products(sum[4 * r], broadcast_word(row[r] + 4 * quad), w);
}

/* Numbers of a row, -127 to 127, as the products take them. */
INLINE void store_numbers(char *to, ivec numbers) {
    typedef int8_t bytes __attribute__((vector_size(FR_VECTOR_BYTES / 4)));
    typedef uint32_t words __attribute__((vector_size(FR_VECTOR_BYTES / 4)));
    const words quads = (words) __builtin_convertvector(numbers, bytes);
    const words ordered = (quads & 0xff0000ffu) | (quads >> 8 & 0xff00u) | (quads << 8 & 0xff0000u);
    const words result = ordered ^ 0x80808080u;
    memcpy(to, &result, sizeof result);
}

#else

/* Two products of a lane at once, of 16 bits: a row holds its numbers so, and the bytes of a panel
 * become such numbers in registers. */
enum { NUMBER_BYTES = 2 };

INLINE ivec pair_products(halves a, halves b) {
#if FR_VECTOR_BYTES == 64 && defined __AVX512BW__
    return (ivec)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif FR_VECTOR_BYTES == 32 && defined __AVX2__
    return (ivec)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif FR_VECTOR_BYTES == 16 && defined __SSE2__
    return (ivec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    const ivec x = (ivec)a, y = (ivec)b;
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

INLINE ivec first_sum(const int32_t *start) {
    (void)start;
    return (ivec){0};
}

INLINE void add_quad(const int rows, ivec *sum, const char *const *row, fr_index quad, ivec w) {
    const halves first = (halves)((unsigned_halves)w << 8) >> 8, second = (halves)w >> 8;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const halves a = (halves)broadcast_word(row[r] + 8 * quad);
        const halves b = (halves)broadcast_word(row[r] + 8 * quad + 4);
        sum[4 * r] += pair_products(a, first) + pair_products(b, second);
    }
}

INLINE void store_numbers(char *to, ivec numbers) {
    typedef int16_t half_words __attribute__((vector_size(FR_VECTOR_BYTES / 2)));
    const half_words result = __builtin_convertvector(numbers, half_words);
    memcpy(to, &result, sizeof result);
}

#endif

/* sum += a quad of one row times one of each column, for all vectors of a panel. */
#if FR_VECTOR_BYTES == 32 && defined __AVX2__ && !defined __AVXVNNI__
/* One row leaves no time to widen bytes: those of w, with the signs of the row's, meet the row's
 * magnitudes. Two products of at most 127 * 127 fit 16 bits. Against `add_quad`: 1.4 to 1.8 times
 * as fast. */
INLINE void add_quad_of_one(const int width, ivec *sum, const char *row, fr_index quad,
                            const int32_t *w) {
    const __m256i low_bytes = _mm256_set1_epi32(0x06020400); /* k, k+2, k+1, k+3 */
    const __m256i one = _mm256_set1_epi16(1);
    int64_t four;
    memcpy(&four, row + 8 * quad, sizeof four);
    const __m256i a = _mm256_shuffle_epi8(_mm256_set1_epi64x(four), low_bytes);
    const __m256i size = _mm256_abs_epi8(a);
#pragma GCC unroll 4
    for (int v = 0; v < width; v++) {
        const __m256i signed_w = _mm256_sign_epi8((__m256i)load_words(w + v * VL), a);
        const __m256i pairs = _mm256_maddubs_epi16(size, signed_w);
        sum[v] += (ivec)_mm256_madd_epi16(pairs, one);
    }
}
#else
INLINE void add_quad_of_one(const int width, ivec *sum, const char *row, fr_index quad,
                            const int32_t *w) {
#pragma GCC unroll 4
    for (int v = 0; v < width; v++) add_quad(1, sum + v, &row, quad, load_words(w + v * VL));
}
#endif

/* The sum for rows `first` and following, and for the vectors of a strip from `at` on. One row has
 * two sums of each column under way, of quads with even and odd numbers. */
INLINE void tile_body(const int rows, const int width, const fr_int8_sum *p, fr_index first,
                      fr_index at) {
    const fr_index step = p->stored * VL;
    const int32_t *w = (const int32_t *)p->w + at * VL;
    const char *row[TILE_ROWS];
    ivec sum[TILE_ROWS][4], other[4] = {{0}};
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        row[r] = p->a[first + r];
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) sum[r][v] = first_sum(p->start + (at + v) * VL);
    }
    fr_index quad = 0;
    for (; rows == 1 && quad + 2 <= p->quads; quad += 2, w += 2 * step) {
        add_quad_of_one(width, sum[0], row[0], quad, w);
        add_quad_of_one(width, other, row[0], quad + 1, w + step);
    }
    for (; quad < p->quads; quad++, w += step) {
#pragma GCC unroll 4
        for (int v = 0; v < width; v++)
            add_quad(rows, &sum[0][v], row, quad, load_words(w + v * VL));
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const vec row_scale = broadcast(p->row_scale[first + r]);
        const float *from = p->from[first + r];
        float *to = p->to[first + r];
#pragma GCC unroll 4
        for (int v = 0; v < width; v++) {
            const ivec whole = rows == 1 ? sum[0][v] + other[v] : sum[r][v];
            const vec scale = row_scale * load(p->scale + (at + v) * VL);
            const vec product = __builtin_convertvector(whole, vec) * scale;
            store(to + p->to_at[at + v], load(from + p->from_at[at + v]) + product);
        }
    }
}

typedef void tile_function(const fr_int8_sum *, fr_index, fr_index);

#define TILE(rows, width) \
    static NOINLINE void tile_##rows##x##width(const fr_int8_sum *p, fr_index first, \
                                               fr_index at) { \
        tile_body(rows, width, p, first, at);                                                     \
    }
#define TILES(width) TILE(2, width) TILE(3, width) TILE(4, width) TILE(5, width) TILE(6, width)
#define NAMES(width) \
    {tile_2x##width, tile_3x##width, tile_4x##width, tile_5x##width, tile_6x##width}

TILES(1)
TILES(2)
#if STRIP == 4
TILES(3)
TILES(4)
static tile_function *const tiles[][TILE_ROWS - 1] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};
#else
static tile_function *const tiles[][TILE_ROWS - 1] = {NAMES(1), NAMES(2)};
#endif

/* One row has registers for all vectors of a panel, which is then read through. */
TILE(1, 1)
TILE(1, 2)
TILE(1, 3)
TILE(1, 4)
static tile_function *const single_row[] = {tile_1x1, tile_1x2, tile_1x3, tile_1x4};

static void sum(const fr_int8_sum *p) {
    const parts heights = split_evenly(p->rows, TILE_ROWS);
    fr_index first = 0;
    if (p->rows == 1) {
        single_row[p->width - 1](p, 0, 0);
        return;
    }
    for (fr_index i = 0; i < heights.count; i++) {
        const fr_index height = part_size(&heights, i);
        for (fr_index v = 0; v < p->width; v += STRIP)
            tiles[min_index(p->width - v, STRIP) - 1][height - 2](p, first, v);
        first += height;
    }
}

/* The largest magnitude of a row; NaN if a number is not finite. */
static float largest_magnitude(const float *row, fr_index count) {
    vec largest = {0}, not_finite = {0};
    for (fr_index k = 0; k < count; k += VL) {
        const vec x = load_part(row + k, count - k);
        const vec size = (vec)((ivec)x & 0x7fffffff);
        largest = vselect(largest < size, size, largest);
        not_finite += x * 0; /* NaN, if x is not */
    }
    float most = 0;
    for (fr_index lane = 0; lane < VL; lane++) most = most < largest[lane] ? largest[lane] : most;
    return most + sum_lanes(not_finite);
}

static void quantize(const float *row, fr_index count, void *to, float *scale) {
    const float most = largest_magnitude(row, count);
    const int some = most >= FR_INT8_LEAST; /* and no NaN */
    const vec factor = broadcast(some ? 127 / most : 0);
    /* A number this large has no binary places: to add it rounds to the nearest integer. */
    const float shift = 12582912;
    const vec shifted = broadcast(shift);
    char *out = to;
    *scale = some ? most / 127 : most < FR_INT8_LEAST ? 0 : NAN;
    for (fr_index k = 0; k < count; k += VL, out += VL * NUMBER_BYTES) {
        const vec x = some ? load_part(row + k, count - k) : (vec){0};
        store_numbers(out, (ivec)(x * factor + shifted) - (ivec)shifted);
    }
}

#define PASTE(a, b) a##b
#define TABLE_NAME(name) PASTE(fr_int8_, name)
#define QUOTE(name) #name
#define STRING(name) QUOTE(name)

FR_HIDDEN const fr_int8_kernels TABLE_NAME(FR_INT8) = {
    .name = STRING(FR_INT8),
    .isa = STRING(FR_ISA),
    .number_bytes = NUMBER_BYTES,
    .sum = sum,
    .quantize = quantize,
};
