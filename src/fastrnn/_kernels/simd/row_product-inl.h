/* Products with matrices as they lie, where each is read too few times to be packed. */
#pragma once

#include "vec-inl.h"

/* work += v W for `rows` rows of W, as many as v has numbers, that lie w_step apart. */
INLINE void add_rows_product(const int rows, real *work, const real *v, const real *w,
                             fr_index columns, fr_index w_step) {
    vec factor[4];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) factor[i] = broadcast(v[i]);
    fr_index j = 0;
    for (; j + 2 * VL <= columns; j += 2 * VL) {
        vec first = load(work + j), second = load(work + j + VL);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            first += factor[i] * load(w + i * w_step + j);
            second += factor[i] * load(w + i * w_step + j + VL);
        }
        store(work + j, first);
        store(work + j + VL, second);
    }
    for (; j < columns; j += VL) {
        const fr_index n = columns - j;
        vec sum = load_part(work + j, n);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) sum += factor[i] * load_part(w + i * w_step + j, n);
        store_part(work + j, sum, n);
    }
}

/* work += v W for one row v and W (depth, columns) as it lies, its rows w_step apart: four whole
 * rows of W at a time, which lie in four streams (docs/decisions.md has the figures). */
static void add_block_product(real *work, const real *v, fr_index depth, const real *w,
                              fr_index columns, fr_index w_step) {
    fr_index k = 0;
    for (; k + 4 <= depth; k += 4)
        add_rows_product(4, work, v + k, w + k * w_step, columns, w_step);
    for (; k < depth; k++) add_rows_product(1, work, v + k, w + k * w_step, columns, w_step);
}

/* The same in blocks of FR_SUM_BLOCK, if v is longer: those that the packed product has, too.
 * `block` is scratch of `columns` numbers. */
static void add_row_product(real *work, const real *v, fr_index depth, const real *w,
                            fr_index columns, fr_index w_step, real *block) {
    if (depth <= FR_SUM_BLOCK) {
        add_block_product(work, v, depth, w, columns, w_step);
        return;
    }
    const parts blocks = split_evenly(depth, FR_SUM_BLOCK);
    fr_index k = 0;
    for (fr_index i = 0; i < blocks.count; i++) {
        const fr_index size = part_size(&blocks, i);
        memset(block, 0, (size_t)columns * sizeof(real));
        add_block_product(block, v + k, size, w + k * w_step, columns, w_step);
        for (fr_index j = 0; j < columns; j++) work[j] += block[j];
        k += size;
    }
}

/* Rows of a and of b whose products are summed at once: as many as registers hold. */
#define DOT_ROWS 4
#if FR_REGISTERS == 32
#define DOT_COLUMNS 4
#else
#define DOT_COLUMNS 2
#endif

/* c[i][j] = a[i] . b[j] for a few rows, or c[i][j] += that. */
INLINE void dot_block(const int rows, const int columns, real *c, fr_index c_step, const real *a,
                      fr_index a_step, const real *b, fr_index b_step, fr_index depth,
                      const int add) {
    vec sum[DOT_ROWS][DOT_COLUMNS] = {0};
    for (fr_index d = 0; d < depth; d += VL) {
        vec column[DOT_COLUMNS];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) column[j] = load_part(b + j * b_step + d, depth - d);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const vec row = load_part(a + i * a_step + d, depth - d);
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += row * column[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            real *to = c + i * c_step + j;
            const real dot = sum_halves(sum[i][j]);
            *to = add ? *to + dot : dot;
        }
}

/* Some rows of c; the last columns one by one. */
INLINE void dot_strip(const int rows, real *c, fr_index c_step, const real *a, fr_index a_step,
                      const real *b, fr_index b_rows, fr_index b_step, fr_index depth,
                      const int add) {
    fr_index j = 0;
    for (; j + DOT_COLUMNS <= b_rows; j += DOT_COLUMNS)
        dot_block(rows, DOT_COLUMNS, c + j, c_step, a, a_step, b + j * b_step, b_step, depth, add);
    for (; j < b_rows; j++)
        dot_block(rows, 1, c + j, c_step, a, a_step, b + j * b_step, b_step, depth, add);
}

/* One block of depth of `row_products`; `add` is a constant where this is called, as the check of
 * it for each result costs time. */
INLINE void block_products(real *c, fr_index c_step, const real *a, fr_index a_rows,
                           fr_index a_step, const real *b, fr_index b_rows, fr_index b_step,
                           fr_index depth, const int add) {
    fr_index i = 0;
    for (; i + DOT_ROWS <= a_rows; i += DOT_ROWS)
        dot_strip(DOT_ROWS, c + i * c_step, c_step, a + i * a_step, a_step, b, b_rows, b_step,
                  depth, add);
    for (; i < a_rows; i++)
        dot_strip(1, c + i * c_step, c_step, a + i * a_step, a_step, b, b_rows, b_step, depth, add);
}

static void row_products(void *c, fr_index c_step, const void *a, fr_index a_rows, fr_index a_step,
                         const void *b, fr_index b_rows, fr_index b_step, fr_index depth) {
    block_products(c, c_step, a, a_rows, a_step, b, b_rows, b_step, min_index(depth, FR_SUM_BLOCK),
                   0);
    for (fr_index d = FR_SUM_BLOCK; d < depth; d += FR_SUM_BLOCK)
        block_products(c, c_step, (const real *)a + d, a_rows, a_step, (const real *)b + d, b_rows,
                       b_step, min_index(depth - d, FR_SUM_BLOCK), 1);
}
