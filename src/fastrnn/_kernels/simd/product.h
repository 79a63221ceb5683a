/* The packed product: the one multiply-add loop under every cell, projection and weight gradient. */
#ifndef FASTRNN_PRODUCT_H
#define FASTRNN_PRODUCT_H

#include "vec.h"

/* A tile holds up to TILE_ROWS rows by up to TILE_VECTORS vectors of C in registers: 24 of the 32
 * of AVX-512, 12 of the 16 of AVX2 and SSE2, where a panel of four is computed in two halves. */
#define TILE_ROWS 6
#if FR_VECTOR_BYTES == 64
#define TILE_VECTORS 4
#else
#define TILE_VECTORS 2
#endif

#define PANEL (4 * VL) /* elements from one row of a tile buffer to the next */

/* What a tile multiplies: see fr_product. `a` points to one pointer a row. */
typedef struct {
    fr_index blocks, depth, a_step, a_block, b_step;
} tile_shape;

/* acc[r][v] += sum over k of a[r][k] * b[k][v]; acc is a tile buffer [rows][4][VL]. The sum runs in
 * the order of k in one accumulator, so a row's result is the same in a tile of any height. */
INLINE void tile_body(const int rows, const int width, const tile_shape *shape, real *acc,
                      const real *const *a, const real *b) {
    vec sum[TILE_ROWS][TILE_VECTORS];
    const real *row[TILE_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        row[r] = a[r];
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[r][v] = load(acc + r * PANEL + v * VL);
    }
    const fr_index a_step = shape->a_step, b_step = shape->b_step * VL;
    for (fr_index block = 0; block < shape->blocks; block++) {
        fr_index at = block * shape->a_block;
        for (fr_index k = 0; k < shape->depth; k++) {
            vec column[TILE_VECTORS];
#pragma GCC unroll 8
            for (int v = 0; v < width; v++) column[v] = load(b + v * VL);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const vec factor = broadcast(row[r][at]);
#pragma GCC unroll 8
                for (int v = 0; v < width; v++) sum[r][v] += factor * column[v];
            }
            at += a_step;
            b += b_step;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) store(acc + r * PANEL + v * VL, sum[r][v]);
}

typedef void tile_function(const tile_shape *, real *, const real *const *, const real *);

#define TILE(rows, width)                                                                  \
    static __attribute__((noinline)) void tile_##rows##x##width(                           \
        const tile_shape *shape, real *acc, const real *const *a, const real *b) {         \
        tile_body(rows, width, shape, acc, a, b);                                          \
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

/* acc[p][v] += sum over k of a[k] * b[p][k][v]: one row by `panels` panels that lie b_panel apart.
 * Two panels of four vectors are eight sums under way at once, which a multiply-add of four cycles
 * needs on two ports; the order of each sum is that of a tile. */
INLINE void single_body(const int panels, const int width, const tile_shape *shape, real *acc,
                        const real *a, const real *b, fr_index b_panel) {
    vec sum[2][4];
#pragma GCC unroll 8
    for (int p = 0; p < panels; p++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[p][v] = load(acc + p * PANEL + v * VL);
    for (fr_index block = 0; block < shape->blocks; block++)
        for (fr_index k = 0; k < shape->depth; k++) {
            const vec factor = broadcast(a[block * shape->a_block + k * shape->a_step]);
#pragma GCC unroll 8
            for (int p = 0; p < panels; p++)
#pragma GCC unroll 8
                for (int v = 0; v < width; v++)
                    sum[p][v] += factor * load(b + p * b_panel + v * VL);
            b += shape->b_step * VL;
        }
#pragma GCC unroll 8
    for (int p = 0; p < panels; p++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) store(acc + p * PANEL + v * VL, sum[p][v]);
}

/* acc += a b for one row and one or two panels of `width` (1 to 4) vectors. */
static void single_row(fr_index panels, fr_index width, const tile_shape *shape, real *acc,
                       const real *a, const real *b, fr_index b_panel) {
    switch ((panels - 1) * 4 + width) {
        case 1: single_body(1, 1, shape, acc, a, b, b_panel); break;
        case 2: single_body(1, 2, shape, acc, a, b, b_panel); break;
        case 3: single_body(1, 3, shape, acc, a, b, b_panel); break;
        case 4: single_body(1, 4, shape, acc, a, b, b_panel); break;
        case 5: single_body(2, 1, shape, acc, a, b, b_panel); break;
        case 6: single_body(2, 2, shape, acc, a, b, b_panel); break;
        case 7: single_body(2, 3, shape, acc, a, b, b_panel); break;
        case 8: single_body(2, 4, shape, acc, a, b, b_panel); break;
    }
}

/* acc += a b for `rows` rows and `width` (1 to 4) vectors of one packed panel. */
INLINE void tile(fr_index rows, fr_index width, const tile_shape *shape, real *acc,
                 const real *const *a, const real *b) {
    if (rows == 1) {
        single_row(1, width, shape, acc, a[0], b, 0);
        return;
    }
    for (fr_index v = 0; v < width; v += TILE_VECTORS)
        tiles[min_index(width - v, TILE_VECTORS) - 1][rows - 2](shape, acc + v * VL, a,
                                                                b + v * VL);
}

/* Splits `rows` into the fewest tiles of nearly equal height: 32 is 4*5 + 2*6, not 5*6 + 2.
 * Returns the height of the tile that begins at row `at`. */
INLINE fr_index tile_height(fr_index at, fr_index rows) {
    const fr_index left = rows - at, count = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (left + count - 1) / count;
}

static void product(const fr_product *p, fr_index row_begin, fr_index row_end) {
    const tile_shape shape = {p->blocks, p->depth, p->a_step, p->a_block, p->b_step};
    const real *const *a = (const real *const *)p->a;
    real *const *c = (real *const *)p->c;
    const real *bias = p->bias;
    const fr_index panel_columns = p->width * VL;
    real acc[TILE_ROWS * PANEL] ALIGNED;
    for (fr_index first = 0, panel = 0; first < p->columns; first += panel_columns, panel++) {
        const fr_index columns = min_index(panel_columns, p->columns - first);
        const fr_index width = (columns + VL - 1) / VL;
        const real *b = (const real *)p->b + panel * p->b_panel;
        for (fr_index i = row_begin, height; i < row_end; i += height) {
            height = tile_height(i, row_end);
            for (fr_index r = 0; r < height; r++)
                for (fr_index v = 0; v < width; v++) {
                    const fr_index column = first + v * VL, n = p->columns - column;
                    vec value = {0};
                    if (p->accumulate) value = load_part(c[i + r] + column, n);
                    if (bias) value += load(bias + column);
                    store(acc + r * PANEL + v * VL, value);
                }
            tile(height, width, &shape, acc, a + i, b);
            for (fr_index r = 0; r < height; r++)
                for (fr_index v = 0; v < width; v++) {
                    const fr_index column = first + v * VL;
                    store_part(c[i + r] + column, load(acc + r * PANEL + v * VL),
                               p->columns - column);
                }
        }
    }
}

/* Columns of vector v of panel p that exist. */
INLINE fr_index columns_in(const fr_layout *l, fr_index p, fr_index v) {
    const fr_index left = l->limit[v] - (l->start[v] + p * l->advance);
    return left < 0 ? 0 : min_index(left, VL);
}

/* dst[p][k][v] = the layout's columns of src row k; its rows lie row_step elements apart. */
static void pack(void *dst, const void *src, fr_index depth, fr_index row_step,
                 const fr_layout *l) {
    real *out = dst;
    for (fr_index p = 0; p < l->panels; p++)
        for (fr_index k = 0; k < depth; k++)
            for (fr_index v = 0; v < l->width; v++, out += VL) {
                const fr_index n = columns_in(l, p, v);
                const real *row = (const real *)src + k * row_step;
                store(out, n ? load_part(row + l->start[v] + p * l->advance, n) : (vec){0});
            }
}

/* The transpose of a packed matrix, packed: src is (rows, columns of `l`); dst is
 * [panel of rows][(p, v, lane) of l][4][VL], zero for lanes that are no column. */
static void pack_transposed(void *dst, const void *src, fr_index rows, fr_index row_step,
                            const fr_layout *l) {
    real *out = dst;
    for (fr_index first = 0; first < rows; first += PANEL) {
        const fr_index count = min_index(PANEL, rows - first);
        for (fr_index p = 0; p < l->panels; p++)
            for (fr_index v = 0; v < l->width; v++) {
                const fr_index n = columns_in(l, p, v);
                const real *from =
                    (const real *)src + first * row_step + (n ? l->start[v] + p * l->advance : 0);
                memset(out, 0, (size_t)(VL * PANEL) * sizeof(real));
                for (fr_index j = 0; j < count; j++)
                    for (fr_index lane = 0; lane < n; lane++)
                        out[lane * PANEL + j] = from[j * row_step + lane];
                out += VL * PANEL;
            }
    }
}

/* Inverts pack for a row-major packed matrix src[row][p][v][VL]. */
static void unpack(void *dst, const void *src, fr_index rows, fr_index row_step,
                   const fr_layout *l) {
    const real *from = src;
    for (fr_index r = 0; r < rows; r++)
        for (fr_index p = 0; p < l->panels; p++)
            for (fr_index v = 0; v < l->width; v++, from += VL) {
                const fr_index n = columns_in(l, p, v);
                if (n)
                    store_part((real *)dst + r * row_step + l->start[v] + p * l->advance,
                               load(from), n);
            }
}

#endif
