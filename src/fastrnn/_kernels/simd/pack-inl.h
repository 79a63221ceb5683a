/* Packed copies of matrices, see fr_layout, and of their transposes. */
#pragma once

#include "vec-inl.h"

#define PANEL (4 * VL) /* columns of a panel of four vectors */

/* The gate of panel p where gates have panels of their own. A division is dear, and mostly
 * needless. */
INLINE fr_index gate_of(const fr_layout *l, fr_index p) {
    return l->first + p < l->group ? 0 : (l->first + p) / l->group;
}

/* How much farther than in the first panel of all the columns of panel p lie. */
INLINE fr_index columns_to(const fr_layout *l, fr_index p) {
    const fr_index gate = gate_of(l, p);
    return (l->first + p - gate * l->group) * l->advance + gate * l->apart;
}

/* Columns of vector v of panel p that exist. */
INLINE fr_index columns_in(const fr_layout *l, fr_index p, fr_index v) {
    const fr_index limit = l->limit[v] + gate_of(l, p) * l->apart;
    const fr_index left = limit - (l->start[v] + columns_to(l, p));
    return left < 0 ? 0 : min_index(left, VL);
}

/* Columns of panel p in the vectors before v. */
INLINE fr_index columns_before(const fr_layout *l, fr_index p, fr_index v) {
    fr_index count = 0;
    for (fr_index u = 0; u < v; u++) count += columns_in(l, p, u);
    return count;
}

/* Vectors of a panel if each of them is full, else 0. */
INLINE fr_index full_vectors(const fr_layout *l, fr_index panel) {
    fr_index width = l->width;
    while (width > 0 && columns_in(l, panel, width - 1) == 0) width--;
    for (fr_index v = 0; v < width; v++)
        if (columns_in(l, panel, v) < VL) return 0;
    return width;
}

/* One row of a panel that is not full: the columns of its vectors one after another, then zeros. */
INLINE void pack_edge(real *dst, const real *src, const fr_layout *l, fr_index panel) {
    const fr_index size = l->width * VL;
    fr_index at = 0;
    for (fr_index v = 0; v < l->width; v++) {
        const fr_index n = columns_in(l, panel, v);
        memcpy(dst + at, src + l->start[v], (size_t)n * sizeof(real));
        at += n;
    }
    memset(dst + at, 0, (size_t)(size - at) * sizeof(real));
}

/* Rows of src that are packed together. Panel by panel, each row is a jump in memory; a few rows at
 * a time stay in the cache meanwhile. */
#define PACK_ROWS 4

/* dst = the layout's columns of src, packed; the rows of src lie row_step elements apart. */
static void pack_nn(void *dst, const void *src, fr_index depth, fr_index row_step,
                    const fr_layout *l) {
    const fr_index size = l->width * VL;
    for (fr_index first = 0; first < depth; first += PACK_ROWS)
        for (fr_index panel = 0; panel < l->panels; panel++) {
            const fr_index end = min_index(depth, first + PACK_ROWS);
            const int full = full_vectors(l, panel) == l->width;
            const real *row = (const real *)src + first * row_step + columns_to(l, panel);
            real *out = (real *)dst + (panel * depth + first) * size;
            for (fr_index k = first; k < end; k++, row += row_step, out += size) {
                if (!full) pack_edge(out, row, l, panel);
                for (fr_index v = 0; full && v < l->width; v++)
                    store(out + v * VL, load(row + l->start[v]));
            }
        }
}

/* Lanes of a and b by their numbers, those of b counted from VL on. */
INLINE vec two_shuffled(vec a, vec b, ivec lanes) {
#ifdef __clang__ /* which makes one instruction of it, as the numbers are constants */
    vec result;
    for (fr_index i = 0; i < VL; i++) result[i] = lanes[i] < VL ? a[lanes[i]] : b[lanes[i] - VL];
    return result;
#else
    return __builtin_shuffle(a, b, lanes);
#endif
}

/* Exchanges bit `d` of the number of a row with that of a lane. */
INLINE void exchange(const fr_index d, vec *row) {
    if (d >= VL) return;
    ivec low, high;
    for (fr_index lane = 0; lane < VL; lane++) {
        low[lane] = (bits)(lane & d ? VL + lane - d : lane);
        high[lane] = (bits)(lane & d ? VL + lane : lane + d);
    }
#pragma GCC unroll 16
    for (fr_index i = 0; i < VL; i++)
        if (!(i & d)) {
            const vec a = row[i], b = row[i + d];
            row[i] = two_shuffled(a, b, low);
            row[i + d] = two_shuffled(a, b, high);
        }
}

/* dst[lane*dst_step + j] = src[j*row_step + lane] for j < rows and lane < n, at most VL each; zeros
 * for the other j. */
static void transpose_block(real *dst, fr_index dst_step, const real *src, fr_index row_step,
                            fr_index rows, fr_index n) {
    vec row[VL];
#pragma GCC unroll 16
    for (fr_index j = 0; j < VL; j++)
        row[j] = j < rows ? load_part(src + j * row_step, n) : (vec){0};
    exchange(1, row);
    exchange(2, row);
    exchange(4, row);
    exchange(8, row);
#pragma GCC unroll 16
    for (fr_index lane = 0; lane < VL; lane++)
        if (lane < n) store(dst + lane * dst_step, row[lane]);
}

/* The transpose of a packed matrix, packed: src is (rows, columns of `l`); dst is
 * [panel of rows][(p, v, lane) of l][4][VL], zero where there is no row. Rows are read through from
 * one panel to the next: 1.1 to 1.7 times as fast as each panel by itself. */
static void pack_nt(void *dst, const void *src, fr_index rows, fr_index row_step,
                    const fr_layout *l) {
    const fr_index size = l->width * VL * PANEL;
    real *out = dst;
    for (fr_index first = 0; first < rows; first += PANEL, out += l->panels * size)
        for (fr_index j = 0; j < PANEL; j += VL)
            for (fr_index v = 0; v < l->width; v++)
                for (fr_index p = 0; p < l->panels; p++) {
                    const fr_index n = columns_in(l, p, v);
                    const real *from =
                        (const real *)src + (first + j) * row_step + columns_to(l, p);
                    transpose_block(out + p * size + columns_before(l, p, v) * PANEL + j, PANEL,
                                    from + (n ? l->start[v] : 0), row_step, rows - first - j, n);
                }
}

/* As pack_nn, from the transpose of its source: src is (columns of `l`, depth). */
static void pack_tn(void *dst, const void *src, fr_index depth, fr_index row_step,
                    const fr_layout *l) {
    const fr_index size = l->width * VL;
    real *out = dst;
    for (fr_index p = 0; p < l->panels; p++, out += depth * size) {
        fr_index at = 0;
        if (full_vectors(l, p) < l->width) memset(out, 0, (size_t)(depth * size) * sizeof(real));
        for (fr_index v = 0; v < l->width; v++) {
            const fr_index n = columns_in(l, p, v);
            if (n == 0) continue;
            const real *from = (const real *)src + (l->start[v] + columns_to(l, p)) * row_step;
            /* What a block writes past its n columns, the next vector overwrites. */
            for (fr_index k = 0; k < depth; k += VL)
                transpose_block(out + k * size + at, size, from + k, row_step, n,
                                min_index(depth - k, VL));
            at += n;
        }
    }
}

/* As pack_nt, from the transpose of its source: src is (columns of `l`, rows). */
static void pack_tt(void *dst, const void *src, fr_index rows, fr_index row_step,
                    const fr_layout *l) {
    const fr_index size = l->width * VL;
    real *out = dst;
    for (fr_index first = 0; first < rows; first += PANEL)
        for (fr_index p = 0; p < l->panels; p++, out += size * PANEL) {
            real *at = out;
            for (fr_index v = 0; v < l->width; v++) {
                const fr_index n = columns_in(l, p, v);
                if (n == 0) continue;
                const real *from =
                    (const real *)src + (l->start[v] + columns_to(l, p)) * row_step + first;
                for (fr_index lane = 0; lane < n; lane++, at += PANEL)
                    for (fr_index j = 0; j < PANEL; j += VL) {
                        const fr_index left = rows - first - j;
                        store(at + j,
                              left > 0 ? load_part(from + lane * row_step + j, left) : (vec){0});
                    }
            }
        }
}
