/* The packed product: the multiply-add loop under every cell, projection and weight gradient. */
#pragma once

#include "pack-inl.h"
#include "vec-inl.h"

/* A tile sums some rows by the vectors of one strip in registers: 24 of the 32 of AVX-512 and NEON,
 * 12 of the 16 of AVX2 and SSE2, where a strip of two vectors has tiles of six rows, one of three
 * of four. */
INLINE fr_index strip_of(fr_index width) { return width == 4 ? STRIP : width; }
INLINE fr_index tile_rows(fr_index width) { return width == 3 && STRIP == 2 ? 4 : TILE_ROWS; }

/* One panel of a matrix of 8 bits, and the scales of the rows that it meets. */
typedef struct {
    const fr_int8_kernels *kernels;
    fr_int8_matrix b;
    fr_index quads;
    const float *row_scale;
} int8_panel;

/* A B of some rows and one panel, see fr_product. With FR_INT8, `int8` takes the place of b. */
typedef struct {
    const real *const *a;
    fr_index blocks, depth, a_step, a_block;
    const real *b;
    fr_index b_step;
    fr_index next; /* from an element of b to one that will be wanted after it */
    const int8_panel *int8;
} term;

/* to[r][v] = from[r][v] + the terms, in their order, for one panel; where in a row of `from` and
 * `to` the vectors of the panel lie. A term that is `apart`, or deeper than FR_SUM_BLOCK, is added
 * in blocks of at most that depth, each summed by itself: see block_by_block. */
typedef struct {
    const term *terms;
    fr_index count;
    const real *const *from;
    real *const *to;
    const fr_index *from_at, *to_at;
    int apart, format;
} panel_sum;

/* Panel `panel` of a matrix of 8 bits that has so many rows, and `stored` vectors a panel. */
INLINE int8_panel int8_panel_of(const fr_int8_operands *o, fr_index panel, fr_index depth,
                                fr_index stored) {
    const fr_index quads = fr_elements(FR_INT8, depth), columns = panel * stored * VL;
    const fr_int8_matrix b = {(const int32_t *)o->b->data + quads * columns, o->b->scale + columns,
                              o->b->start + columns};
    return (int8_panel){o->kernels, b, quads, o->row_scale};
}

/* Vectors side by side. */
static const fr_index neighbours[4] = {0, VL, 2 * VL, 3 * VL};

/* What a tile fetches to the L2, a line for each that it reads: nothing, its panel so many steps of
 * k ahead, or what is wanted after it. */
enum { FETCH_NOTHING = 0, FETCH_NEXT = -1 };

/* sum += a term, for the rows and the strip of a tile. */
INLINE void add_term(const int rows, const int width, const int fetch, vec (*sum)[4], const term *m,
                     fr_index first, fr_index at, fr_index steps) {
    const int line = 64 / sizeof(vec); /* vectors */
    const real *row[TILE_ROWS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) row[r] = m->a[first + r];
    const fr_index a_step = m->a_step, b_step = m->b_step * VL, depth = m->depth;
    const fr_index ahead = steps > 0 ? steps * b_step : m->next;
    const real *b = m->b + at * VL;
    for (fr_index block = 0; block < m->blocks; block++) {
        fr_index k_at = block * m->a_block;
        for (fr_index k = 0; k < depth; k++) {
            vec column[4];
#pragma GCC unroll 8
            for (int v = 0; v < width; v++) column[v] = load(b + v * VL);
#pragma GCC unroll 8
            for (int v = 0; fetch && v < width; v += line)
                __builtin_prefetch(b + ahead + v * VL, 0, 2);
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
}

/* sum += number k of each row times a column. */
INLINE void add_column(const int rows, const int width, vec (*sum)[4], const real *const *row,
                       fr_index k, const vec *column) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const vec factor = broadcast(row[r][k]);
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[r][v] += factor * column[v];
    }
}

/* sum += numbers k and k + 1, if there is one, times pairs of bfloat16, the upper halves of
 * float32. */
INLINE void add_pairs(const int rows, const int width, vec (*sum)[4], const real *const *row,
                      fr_index k, fr_index depth, const real *pairs) {
    vec low[4], high[4];
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
        const ivec pair = (ivec)load(pairs + v * VL);
        low[v] = (vec)(pair << 16);
        high[v] = (vec)(pair & (bits)~0xffff);
    }
    add_column(rows, width, sum, row, k, low);
    if (k + 1 < depth) add_column(rows, width, sum, row, k + 1, high);
}

/* sum += a term of bfloat16. */
INLINE void add_bfloat16(const int rows, const int width, vec (*sum)[4], const term *m,
                         fr_index first, fr_index at) {
    const real *row[TILE_ROWS], *b = m->b + at * VL;
    const fr_index b_step = m->b_step * VL;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) row[r] = m->a[first + r];
    for (fr_index k = 0; k < m->depth; k += 2, b += b_step)
        add_pairs(rows, width, sum, row, k, m->depth, b);
}

/* The panel's sum for rows `first` and following, and for one strip. It runs in the order of k in
 * one accumulator, so a row's result is the same in a tile of any height. `to_at` is read ahead of
 * the stores, or GCC runs out of registers for addresses. */
INLINE void tile_body(const int rows, const int width, const int format, const panel_sum *p,
                      fr_index first, fr_index at, fr_index steps) {
    const real *const *from = p->from + first;
    real *const *to = p->to + first;
    vec sum[TILE_ROWS][4];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[r][v] = load(from[r] + p->from_at[at + v]);
    for (const term *m = p->terms, *end = m + p->count; m < end; m++) {
        if (format == FR_BFLOAT16)
            add_bfloat16(rows, width, sum, m, first, at);
        else if (steps == FETCH_NOTHING)
            add_term(rows, width, 0, sum, m, first, at, steps);
        else
            add_term(rows, width, 1, sum, m, first, at, steps);
    }
    fr_index place[4];
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) place[v] = p->to_at[at + v];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) store(to[r] + place[v], sum[r][v]);
}

typedef void tile_function(const panel_sum *, fr_index, fr_index, fr_index);

#define TILE(name, format, rows, width)                                                       \
    static NOINLINE void name##_##rows##x##width(const panel_sum *p, fr_index first, fr_index at, \
                                                 fr_index steps) {                            \
        tile_body(rows, width, format, p, first, at, steps);                                  \
    }
#define LOW_TILES(name, format, width) \
    TILE(name, format, 2, width) TILE(name, format, 3, width) TILE(name, format, 4, width)
#define LOW_NAMES(name, width) name##_2x##width, name##_3x##width, name##_4x##width
#define TILES(name, format, width) \
    LOW_TILES(name, format, width) TILE(name, format, 5, width) TILE(name, format, 6, width)
#define NAMES(name, width) LOW_NAMES(name, width), name##_5x##width, name##_6x##width
#if STRIP == 4
#define WIDE_TILES(name, format) TILES(name, format, 3) TILES(name, format, 4)
#define WIDE_NAMES(name) {NAMES(name, 3)}, {NAMES(name, 4)}
#else
#define WIDE_TILES(name, format) LOW_TILES(name, format, 3)
#define WIDE_NAMES(name) {LOW_NAMES(name, 3)}
#endif
/* The tiles of a format, and the table of them by vectors and rows. */
#define TILE_TABLE(name, format)                                                      \
    TILES(name, format, 1)                                                            \
    TILES(name, format, 2)                                                            \
    WIDE_TILES(name, format)                                                          \
    static tile_function *const name##_tiles[][TILE_ROWS - 1] = {{NAMES(name, 1)},    \
                                                                 {NAMES(name, 2)},    \
                                                                 WIDE_NAMES(name)};

TILE_TABLE(real, FR_REAL)
#if FR_REAL_BYTES == 4
TILE_TABLE(half, FR_BFLOAT16)
#else
#define half_tiles real_tiles /* float64 has no numbers of fewer bits */
#endif

/* The same for one row and all vectors of some panels, whose sums go on side by side. What bounds a
 * single row is the stream of its panels. */
INLINE void single_body(const int panels, const int width, const int format, const panel_sum *p) {
    vec sum[2][4];
#pragma GCC unroll 2
    for (int i = 0; i < panels; i++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) sum[i][v] = load(p[i].from[0] + p[i].from_at[v]);
    for (fr_index term_at = 0; term_at < p->count; term_at++) {
        const term *m = p->terms + term_at;
        const fr_index a_step = m->a_step, b_step = m->b_step * VL, depth = m->depth;
        const real *b = m->b, *other = panels == 2 ? p[1].terms[term_at].b : b;
        if (format == FR_BFLOAT16) {
            for (fr_index k = 0; k < depth; k += 2, b += b_step, other += b_step) {
                add_pairs(1, width, sum, m->a, k, depth, b);
                if (panels == 2) add_pairs(1, width, sum + 1, m->a, k, depth, other);
            }
            continue;
        }
        for (fr_index block = 0; block < m->blocks; block++) {
            const real *a = m->a[0] + block * m->a_block;
            for (fr_index k = 0; k < depth; k++) {
                const vec factor = broadcast(a[k * a_step]);
#pragma GCC unroll 8
                for (int v = 0; v < width; v++) sum[0][v] += factor * load(b + v * VL);
#pragma GCC unroll 8
                for (int v = 0; panels == 2 && v < width; v++)
                    sum[1][v] += factor * load(other + v * VL);
                b += b_step;
                other += b_step;
            }
        }
    }
#pragma GCC unroll 2
    for (int i = 0; i < panels; i++)
#pragma GCC unroll 8
        for (int v = 0; v < width; v++) store(p[i].to[0] + p[i].to_at[v], sum[i][v]);
}

INLINE void single_of_width(const int format, const panel_sum *p, fr_index width) {
    switch (width) {
        case 1: single_body(1, 1, format, p); break;
        case 2: single_body(1, 2, format, p); break;
        case 3: single_body(1, 3, format, p); break;
        case 4: single_body(1, 4, format, p); break;
    }
}

static NOINLINE void single_row(const panel_sum *p, fr_index width) {
    single_of_width(FR_REAL, p, width);
}

static NOINLINE void single_half_row(const panel_sum *p, fr_index width) {
    single_of_width(FR_BFLOAT16, p, width);
}

/* Two panels of two or three vectors. One alone has too few sums under way to hide the latency of a
 * multiply-add: AVX2 on a Zen 4 reads 58 and 87 GB/s from L2, two 110 and 98. */
INLINE void pair_of_width(const int format, const panel_sum p[2], fr_index width) {
    if (width == 2)
        single_body(2, 2, format, p);
    else
        single_body(2, 3, format, p);
}

static NOINLINE void single_row_pair(const panel_sum p[2], fr_index width) {
    pair_of_width(FR_REAL, p, width);
}

static NOINLINE void single_half_row_pair(const panel_sum p[2], fr_index width) {
    pair_of_width(FR_BFLOAT16, p, width);
}

/* The sum for all tiles of a panel. */
static void tile_by_tile(const fr_plan *plan, const panel_sum *p, fr_index rows, fr_index width) {
    const fr_index strip = strip_of(width);
    tile_function *const(*table)[TILE_ROWS - 1] = p->format == FR_REAL ? real_tiles : half_tiles;
    const parts heights = split_evenly(rows, tile_rows(min_index(width, strip)));
    fr_index first = 0;
    for (fr_index i = 0; i < heights.count; i++) {
        const fr_index height = part_size(&heights, i);
        const int last = plan->fetch && i + 1 == heights.count;
        for (fr_index v = 0; v < width; v += strip)
            table[min_index(width - v, strip) - 1][height - 2](p, first, v,
                                                               last ? FETCH_NEXT : plan->near);
        first += height;
    }
}

/* Depth of a term, in all of its blocks. */
INLINE fr_index depth_of(const term *m) { return m->blocks * m->depth; }

/* The sum for one block of depth of one term. */
static void sum_block(const fr_plan *plan, const panel_sum *p, fr_index rows, fr_index width) {
    if (rows == 1 && p->format == FR_REAL)
        single_row(p, width);
    else if (rows == 1)
        single_half_row(p, width);
    else
        tile_by_tile(plan, p, rows, width);
}

static void block_by_block(const fr_plan *plan, panel_sum *sum, const term *whole, fr_index most,
                           fr_index rows, fr_index width);

/* The same, summed by itself before it is added; the plan may cut it further. */
static NOINLINE void add_block(const fr_plan *plan, const panel_sum *p, fr_index rows,
                               fr_index width) {
    static const real zeros[PANEL];
    const fr_index most = rows == 1 ? FR_SUM_BLOCK : plan->depth;
    real block[FR_MOST_ROWS * PANEL] ALIGNED, *line[FR_MOST_ROWS];
    const real *from[FR_MOST_ROWS];
    for (fr_index r = 0; r < rows; r++) {
        line[r] = block + r * PANEL;
        from[r] = zeros;
    }
    panel_sum own = {p->terms, 1, from, line, neighbours, neighbours, 0, p->format};
    if (depth_of(p->terms) <= most)
        sum_block(plan, &own, rows, width);
    else
        block_by_block(plan, &own, p->terms, most, rows, width);
    for (fr_index r = 0; r < rows; r++)
        for (fr_index v = 0; v < width; v++)
            store(p->to[r] + p->to_at[v],
                  load(p->from[r] + p->from_at[v]) + load(line[r] + v * VL));
}

/* One more term of a sum, in blocks of at most so much depth. Those of the plan, which are not
 * apart, change no result: the sum goes on where it stands. */
static void block_by_block(const fr_plan *plan, panel_sum *sum, const term *whole, fr_index most,
                           fr_index rows, fr_index width) {
    const int jumps = whole->blocks > 1; /* of A: then some of its blocks are a part */
    const fr_index unit = sum->format == FR_BFLOAT16 ? 2 : 1; /* numbers that lie together in B */
    const fr_index a_step = jumps ? whole->a_block : whole->a_step * unit;
    const fr_index b_step = whole->b_step * VL * (jumps ? whole->depth : 1);
    const fr_index most_blocks = most > whole->depth ? most / whole->depth : 1;
    const parts depths = jumps ? split_evenly(whole->blocks, most_blocks)
                               : split_evenly((whole->depth + unit - 1) / unit, most / unit);
    const real *a[FR_MOST_ROWS];
    term part = *whole;
    part.a = a;
    sum->terms = &part;
    sum->count = 1;
    fr_index first = 0;
    for (fr_index i = 0; i < depths.count; i++) {
        const fr_index size = part_size(&depths, i);
        if (jumps)
            part.blocks = size;
        else
            part.depth = min_index(size * unit, whole->depth - first * unit);
        for (fr_index r = 0; r < rows; r++) a[r] = whole->a[r] + first * a_step;
        part.b = whole->b + first * b_step;
        part.next = i + 1 < depths.count ? size * b_step : whole->next - first * b_step;
        if (sum->apart)
            add_block(plan, sum, rows, width);
        else
            sum_block(plan, sum, rows, width);
        sum->from = (const real *const *)sum->to;
        sum->from_at = sum->to_at;
        first += size;
    }
}

/* All terms of a sum, cut. */
static NOINLINE void sum_in_blocks(const fr_plan *plan, const panel_sum *p, fr_index rows,
                                   fr_index width) {
    panel_sum sum = *p;
    for (fr_index i = 0; i < p->count; i++) {
        sum.apart = p->apart || depth_of(p->terms + i) > FR_SUM_BLOCK;
        block_by_block(plan, &sum, p->terms + i,
                       sum.apart || rows == 1 ? FR_SUM_BLOCK : plan->depth, rows, width);
    }
}

/* The same for terms of 8 bits. */
static NOINLINE void sum_int8(const panel_sum *p, fr_index rows, fr_index width) {
    fr_int8_sum sum = {.rows = rows, .width = width, .from_at = p->from_at, .to_at = p->to_at};
    sum.from = (const float *const *)p->from;
    sum.to = (float *const *)p->to;
    for (const term *m = p->terms, *end = m + p->count; m < end; m++) {
        sum.stored = m->b_step;
        sum.quads = m->int8->quads;
        sum.a = (const void *const *)m->a;
        sum.row_scale = m->int8->row_scale;
        sum.w = m->int8->b.data;
        sum.scale = m->int8->b.scale;
        sum.start = m->int8->b.start;
        m->int8->kernels->sum(&sum);
        sum.from = (const float *const *)sum.to;
        sum.from_at = sum.to_at;
    }
}

/* The sum for `rows` rows and `width` (1 to 4) vectors of a panel. A panel deeper than the plan
 * has it is cut, so that a block of it stays in the nearest cache until all rows have met it. */
INLINE void sum_panel(const fr_plan *plan, const panel_sum *p, fr_index rows, fr_index width) {
    fr_index depth = 0, deepest = 0;
    if (p->format == FR_INT8) {
        sum_int8(p, rows, width);
        return;
    }
    for (fr_index i = 0; i < p->count; i++) {
        const fr_index own = depth_of(p->terms + i);
        depth += own;
        deepest = own > deepest ? own : deepest;
    }
    if (p->apart || deepest > FR_SUM_BLOCK || (rows > 1 && depth > plan->depth))
        sum_in_blocks(plan, p, rows, width);
    else
        sum_block(plan, p, rows, width);
}

/* C of some rows and a panel whose vectors are not all full, or that begins with a bias and C. Its
 * columns meet in a buffer as packed ones lie: one after another. */
static void product_edge(const fr_product *p, const term *ab, fr_index panel, fr_index i,
                         fr_index height) {
    const fr_layout *l = &p->layout;
    const fr_index first = columns_to(l, panel);
    real acc[FR_MOST_ROWS * PANEL] ALIGNED, *line[FR_MOST_ROWS];
    fr_index at[5] = {0};
    for (fr_index v = 0; v < l->width; v++) at[v + 1] = at[v] + columns_in(l, panel, v);
    const fr_index columns = at[l->width], width = (columns + VL - 1) / VL;
    memset(acc, 0, (size_t)(height * PANEL) * sizeof(real));
    for (fr_index r = 0; r < height; r++) {
        const real *c = (const real *)p->c[i + r] + first;
        line[r] = acc + r * PANEL;
        for (fr_index v = 0; p->accumulate && v < l->width; v++)
            memcpy(line[r] + at[v], c + l->start[v], (size_t)(at[v + 1] - at[v]) * sizeof(real));
        const real *bias = (const real *)p->bias + panel * l->width * VL;
        for (fr_index v = 0; p->bias && v < width; v++)
            store(line[r] + v * VL, load(line[r] + v * VL) + load(bias + v * VL));
    }
    const panel_sum sum = {ab,         1,          (const real *const *)line, line,
                           neighbours, neighbours, p->accumulate == FR_APART, p->format};
    sum_panel(p->plan, &sum, height, width);
    for (fr_index r = 0; r < height; r++)
        for (fr_index v = 0; v < l->width; v++)
            memcpy((real *)p->c[i + r] + first + l->start[v], line[r] + at[v],
                   (size_t)(at[v + 1] - at[v]) * sizeof(real));
}

/* C of some rows and the full vectors of a panel, where they lie. */
static void product_full(const fr_product *p, const term *ab, fr_index panel, fr_index width,
                         fr_index i, fr_index height) {
    static const real zeros[PANEL];
    const fr_layout *l = &p->layout;
    const real *start = p->bias ? (const real *)p->bias + panel * l->width * VL : zeros;
    const real *from[FR_MOST_ROWS];
    real *to[FR_MOST_ROWS];
    for (fr_index r = 0; r < height; r++) {
        to[r] = (real *)p->c[i + r] + columns_to(l, panel);
        from[r] = p->accumulate ? to[r] : start;
    }
    const panel_sum sum = {ab,
                           1,
                           from,
                           to,
                           p->accumulate ? l->start : neighbours,
                           l->start,
                           p->accumulate == FR_APART,
                           p->format};
    sum_panel(p->plan, &sum, height, width);
}

static void product(const fr_product *p, fr_index row_begin, fr_index row_end) {
    const parts groups = split_evenly(row_end - row_begin, p->plan->rows);
    for (fr_index panel = p->begin; panel < p->end; panel++) {
        const fr_index width = p->accumulate && p->bias ? 0 : full_vectors(&p->layout, panel);
        fr_index i = row_begin;
        for (fr_index group = 0; group < groups.count; group++) {
            const fr_index height = part_size(&groups, group);
            if (height == 0) continue;
            int8_panel int8;
            term ab = {(const real *const *)p->a + i,
                       p->blocks,
                       p->depth,
                       p->a_step,
                       p->a_block,
                       (const real *)p->b + panel * p->b_panel,
                       p->b_step,
                       p->b_panel,
                       NULL};
            if (p->format == FR_INT8) {
                int8 = int8_panel_of(p->int8, panel, p->depth, p->b_step);
                int8.row_scale += i;
                ab.int8 = &int8;
            }
            if (width)
                product_full(p, &ab, panel, width, i, height);
            else
                product_edge(p, &ab, panel, i, height);
            i += height;
        }
    }
}
