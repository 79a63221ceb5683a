/* What the cells share in a step of the backward. */
#pragma once

#include "../product-inl.h"
#include "../vec-inl.h"
#include "cell-inl.h"

INLINE fr_index chunk_number(const fr_cell_backward *m, fr_index s, fr_index row) {
    return m->cell.batch.offset[s] - m->chunk_first + row;
}

INLINE real *dgates_at(const fr_cell_backward *m, fr_index panel, fr_index number) {
    return (real *)m->dgates + (panel * m->chunk_rows + number) * PANEL;
}

/* dy of a row's vector of hidden units. */
INLINE vec upstream(const fr_cell_backward *m, fr_index row, fr_index s, fr_index unit) {
    return load_part(view_at(m->dy, row, s) + unit, m->cell.hidden - unit);
}

/* Rows that one call of product takes, so that each panel of weights is read once for many rows. */
#define ROW_GROUP 96

/* The rows of step s that a share has, from number `at` on: pointers to their dgates in `panel` and
 * to `out`, (rows, ld). Returns how many. */
static fr_index point_at_rows(const fr_cell_backward *m, fr_share share, fr_index s, fr_index at,
                              fr_index panel, fr_index first, real *out, void **a, void **c) {
    const fr_index count = share_count(share, m->cell.batch.batch_sizes[s]) - at;
    const fr_index height = min_index(ROW_GROUP, count);
    for (fr_index i = 0; i < height; i++) {
        const fr_index row = share_row(share, at + i);
        a[i] = dgates_at(m, panel, chunk_number(m, s, row)) + first;
        c[i] = out + row * m->cell.ld;
    }
    return height;
}

/* out[row] (+)= dgates W^T for the share's rows and vectors of h at step s: `blocks` panels of
 * dgates from `panel` on, `depth` numbers of each from `first` on. A panel of packed W^T has w_rows
 * rows, of which w_t points to the first that takes part. */
static void through_weights(const fr_cell_backward *m, fr_share share, fr_index s, fr_index panel,
                            fr_index first, fr_index blocks, fr_index depth, const real *w_t,
                            fr_index w_rows, real *out, int accumulate) {
    const fr_index end = vectors_of(m->cell.output) * VL;
    void *a[ROW_GROUP], *c[ROW_GROUP];
    const fr_product p = {.plan = m->cell.plan,
                          .blocks = blocks,
                          .depth = depth,
                          .a = a,
                          .a_step = 1,
                          .a_block = m->chunk_rows * PANEL,
                          .b = w_t,
                          .b_step = 4,
                          .b_panel = w_rows * PANEL,
                          .layout = {.width = 4,
                                     .advance = PANEL,
                                     .group = PTRDIFF_MAX,
                                     .start = {0, VL, 2 * VL, 3 * VL},
                                     .limit = {end, end, end, end}},
                          .begin = share.begin / 4,
                          .end = (share.end + 3) / 4,
                          .c = c,
                          .accumulate = accumulate};
    for (fr_index at = 0, height;
         (height = point_at_rows(m, share, s, at, panel, first, out, a, c)) > 0; at += height)
        product(&p, 0, height);
}

/* out[row] (+)= dgates W^T: the backward of h W. A panel of dgates has `units` hidden units; gates
 * first .. first+gates-1 of each take part. */
static void through_hidden(const fr_cell_backward *m, fr_share share, fr_index s, fr_index units,
                           fr_index first, fr_index gates, const void *w_t, real *out,
                           int accumulate) {
    const fr_index full = m->cell.hidden / units, left = m->cell.hidden % units;
    const fr_index depth = gates * units, w_rows = (full + (left > 0)) * depth;
    const real *rest = (const real *)w_t + full * depth * PANEL; /* of a panel that is not full */
    if (full)
        through_weights(m, share, s, 0, first * units, full, depth, w_t, w_rows, out, accumulate);
    if (left)
        through_weights(m, share, s, full, first * left, 1, gates * left, rest, w_rows, out,
                        accumulate || full);
}

/* dh (+)= drop_h * dh_dropped, the backward of drop_h*h, for the share's part of step s. */
static void through_dropout(const fr_cell_backward *m, fr_share share, fr_index s,
                            const real *dh_dropped, int accumulate) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    for (fr_index i = 0; i < count; i++)
        for (fr_index v = share.begin; v < share.end; v++) {
            const fr_index at = share_row(share, i) * cell->ld + v * VL;
            real *dh = (real *)m->dstate[0] + at;
            const vec d = drop_h(cell, load(dh_dropped + at), at);
            store(dh, accumulate ? load(dh) + d : d);
        }
}

INLINE real *operand_at(const fr_cell_backward *m, fr_index vector, fr_index number) {
    return (real *)m->operand + (vector * m->chunk_rows + number) * VL;
}

/* The x, and the h after dropout, that made step s, beside the dgates that step s has just left. */
static void operand_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const fr_index input = cell->input, in = vectors_of(input), vectors = cell->vectors;
    const fr_index begin = in * share.begin / vectors, end = in * share.end / vectors;
    const fr_share of_h = share_of_h(cell, share);
    const real *h_prev = h_at(cell, s);
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i), number = chunk_number(m, s, row);
        const real *x = view_at(cell->x, row, s);
        for (fr_index v = begin; v < end; v++)
            store(operand_at(m, v, number), load_part(x + v * VL, input - v * VL));
        for (fr_index v = of_h.begin; v < of_h.end; v++) {
            const fr_index at = row * cell->ld + v * VL;
            const vec h = load_part(h_prev + at, cell->output - v * VL);
            store(operand_at(m, in + v, number), drop_h(cell, h, at));
        }
    }
}

/* What follows a step's dgates: the backward of h Wh (see through_hidden) to `out`, which is dh or,
 * where dh has another part and there is dropout, scratch; then the operand. Never inlined, so that
 * the last bit of no cell depends on which multiply-adds the compiler fuses across it. */
static NOINLINE void finish_step(const fr_cell_backward *m, fr_share share, fr_index s,
                                 fr_index units, fr_index first, fr_index gates, void *out,
                                 int accumulate) {
    barrier_wait(share);
    through_hidden(m, share, s, units, first, gates, m->wh_t, out, accumulate);
    if (m->cell.drop_h) through_dropout(m, share, s, out, out != m->dstate[0]);
    operand_step(m, share, s);
}
