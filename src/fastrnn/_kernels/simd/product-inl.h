/* The packed product: the multiply-add loop under every cell, projection and weight gradient. */
#pragma once

#include "pack-inl.h"
#include "vec-inl.h"

/* A tile holds up to TILE_ROWS rows by up to TILE_VECTORS vectors of C in registers: 24 of the 32
 * of AVX-512, 12 of the 16 of AVX2 and SSE2, where a panel of four is computed in two halves. */
#define TILE_ROWS 6
#if FR_VECTOR_BYTES == 64
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

/* What a tile multiplies, see fr_product, and where in a row of `from` and `to` its vectors lie. */
typedef struct {
    fr_index blocks, depth, a_step, a_block, b_step;
    const fr_index *from_at, *to_at;
} tile_shape;

/* Vectors side by side. */
static const fr_index neighbours[4] = {0, VL, 2 * VL, 3 * VL};

/* to[r][v] = from[r][v] + sum over k of a[r][k] * b[k][v], vectors `at` and following of each row.
 * The sum runs in the order of k in one accumulator, so a row's result is the same in a tile of any
 * height. `at` is added to b and `to_at` read ahead of the loops, or GCC runs out of registers for
 * addresses. */
INLINE void tile_body(const int rows, const int width, const tile_shape *shape,
                      const real *const *from, real *const *to, fr_index at, const real *const *a,
                      const real *b) {
    vec sum[TILE_ROWS][TILE_VECTORS];
    const real *row[TILE_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        row[r] = a[r];
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[r][v] = load(from[r] + shape->from_at[at + v]);
    }
    const fr_index a_step = shape->a_step, b_step = shape->b_step * VL;
    b += at * VL;
    for (fr_index block = 0; block < shape->blocks; block++) {
        fr_index k_at = block * shape->a_block;
        for (fr_index k = 0; k < shape->depth; k++) {
            vec column[TILE_VECTORS];
#pragma GCC unroll 8
            for (int v = 0; v < width; v++) column[v] = load(b + v * VL);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const vec factor = broadcast(row[r][k_at]);
#pragma GCC unroll 8
                for (int v = 0; v < width; v++) sum[r][v] += factor * column[v];
            }
            k_at += a_step;
            b += b_step;
        }
    }
    fr_index place[TILE_VECTORS];
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) place[v] = shape->to_at[at + v];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) store(to[r] + place[v], sum[r][v]);
}

typedef void tile_function(const tile_shape *, const real *const *, real *const *, fr_index,
                           const real *const *, const real *);

#define TILE(rows, width)                                                                   \
    static __attribute__((noinline)) void tile_##rows##x##width(                            \
        const tile_shape *shape, const real *const *from, real *const *to, fr_index at,     \
        const real *const *a, const real *b) {                                              \
        tile_body(rows, width, shape, from, to, at, a, b);                                  \
    }
#define TILES(width) \
    TILE(2, width) TILE(3, width) TILE(4, width) TILE(5, width) TILE(6, width)
#define TILE_NAMES(width)                                                                      \
    {tile_2x##width, tile_3x##width, tile_4x##width, tile_5x##width, tile_6x##width}

TILES(1)
TILES(2)
#if TILE_VECTORS == 4
TILES(3)
TILES(4)
static tile_function *const tiles[][TILE_ROWS - 1] = {TILE_NAMES(1), TILE_NAMES(2), TILE_NAMES(3),
                                                      TILE_NAMES(4)};
#else
static tile_function *const tiles[][TILE_ROWS - 1] = {TILE_NAMES(1), TILE_NAMES(2)};
#endif

/* to = from + a b for one row and a whole panel. Four sums under way suffice: what bounds a single
 * row is the stream of the panel, and one is read faster than two side by side. */
INLINE void single_body(const int width, const tile_shape *shape, const real *from, real *to,
                        const real *a, const real *b) {
    vec sum[4];
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) sum[v] = load(from + shape->from_at[v]);
    for (fr_index block = 0; block < shape->blocks; block++)
        for (fr_index k = 0; k < shape->depth; k++) {
            const vec factor = broadcast(a[block * shape->a_block + k * shape->a_step]);
#pragma GCC unroll 8
            for (int v = 0; v < width; v++) sum[v] += factor * load(b + v * VL);
            b += shape->b_step * VL;
        }
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) store(to + shape->to_at[v], sum[v]);
}

static void single_row(fr_index width, const tile_shape *shape, const real *from, real *to,
                       const real *a, const real *b) {
    switch (width) {
        case 1: single_body(1, shape, from, to, a, b); break;
        case 2: single_body(2, shape, from, to, a, b); break;
        case 3: single_body(3, shape, from, to, a, b); break;
        case 4: single_body(4, shape, from, to, a, b); break;
    }
}

/* to[r] = from[r] + a[r] b for `rows` rows and `width` (1 to 4) vectors of one packed panel. */
INLINE void tile(fr_index rows, fr_index width, const tile_shape *shape, const real *const *from,
                 real *const *to, const real *const *a, const real *b) {
    if (rows == 1) {
        single_row(width, shape, from[0], to[0], a[0], b);
        return;
    }
    for (fr_index v = 0; v < width; v += TILE_VECTORS)
        tiles[min_index(width - v, TILE_VECTORS) - 1][rows - 2](shape, from, to, v, a, b);
}

/* Splits `rows` into the fewest tiles of nearly equal height: 32 is 4*5 + 2*6, not 5*6 + 2.
 * Returns the height of the tile that begins at row `at`. */
INLINE fr_index tile_height(fr_index at, fr_index rows) {
    const fr_index left = rows - at, count = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + count - 1) / count;
}

/* C of some rows and a panel whose vectors are not all full, or that begins with a bias and C. Its
 * columns meet in a buffer as packed ones lie: one after another. */
static void product_edge(const fr_product *p, fr_index panel, fr_index i, fr_index height) {
    const fr_layout *l = &p->layout;
    const fr_index first = panel * l->advance;
    real acc[TILE_ROWS * PANEL] ALIGNED = {0}, *line[TILE_ROWS];
    fr_index at[5] = {0};
    for (fr_index v = 0; v < l->width; v++) at[v + 1] = at[v] + columns_in(l, panel, v);
    const fr_index columns = at[l->width], width = (columns + VL - 1) / VL;
    for (fr_index r = 0; r < height; r++) {
        const real *c = (const real *)p->c[i + r] + first;
        line[r] = acc + r * PANEL;
        for (fr_index v = 0; p->accumulate && v < l->width; v++)
            memcpy(line[r] + at[v], c + l->start[v], (size_t)(at[v + 1] - at[v]) * sizeof(real));
        const real *bias = (const real *)p->bias + panel * l->width * VL;
        for (fr_index v = 0; p->bias && v < width; v++)
            store(line[r] + v * VL, load(line[r] + v * VL) + load(bias + v * VL));
    }
    const tile_shape shape = {p->blocks, p->depth,   p->a_step, p->a_block,
                              p->b_step, neighbours, neighbours};
    tile(height, width, &shape, (const real *const *)line, line, (const real *const *)p->a + i,
         (const real *)p->b + panel * p->b_panel);
    for (fr_index r = 0; r < height; r++)
        for (fr_index v = 0; v < l->width; v++)
            memcpy((real *)p->c[i + r] + first + l->start[v], line[r] + at[v],
                   (size_t)(at[v + 1] - at[v]) * sizeof(real));
}

/* C of some rows and the full vectors of a panel, where they lie. */
static void product_tile(const fr_product *p, fr_index panel, fr_index width, fr_index i,
                         fr_index height) {
    static const real zeros[PANEL];
    const fr_layout *l = &p->layout;
    const tile_shape shape = {p->blocks,  p->depth,  p->a_step,
                              p->a_block, p->b_step, p->accumulate ? l->start : neighbours,
                              l->start};
    const real *start = p->bias ? (const real *)p->bias + panel * l->width * VL : zeros;
    const real *from[TILE_ROWS];
    real *to[TILE_ROWS];
    for (fr_index r = 0; r < height; r++) {
        to[r] = (real *)p->c[i + r] + panel * l->advance;
        from[r] = p->accumulate ? to[r] : start;
    }
    tile(height, width, &shape, from, to, (const real *const *)p->a + i,
         (const real *)p->b + panel * p->b_panel);
}

static void product(const fr_product *p, fr_index row_begin, fr_index row_end) {
    for (fr_index panel = p->begin; panel < p->end; panel++) {
        const fr_index width = p->accumulate && p->bias ? 0 : full_vectors(&p->layout, panel);
        for (fr_index i = row_begin, height; i < row_end; i += height) {
            height = tile_height(i, row_end);
            if (width)
                product_tile(p, panel, width, i, height);
            else
                product_edge(p, panel, i, height);
        }
    }
}
