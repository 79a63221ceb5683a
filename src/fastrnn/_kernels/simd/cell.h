/* What the cells share: where a row's numbers lie, and the tiles of a step. */
#ifndef FASTRNN_CELL_H
#define FASTRNN_CELL_H

#include "product.h"
#include "vmath.h"

INLINE fr_index share_count(fr_share share, fr_index rows) {
    return rows <= share.first ? 0 : (rows - share.first + share.stride - 1) / share.stride;
}

INLINE fr_index share_row(fr_share share, fr_index i) { return share.first + i * share.stride; }

INLINE fr_index vectors_of(fr_index columns) { return (columns + VL - 1) / VL; }

/* A gated cell has panels of VL hidden units, the last one of what is left: a gate's columns of
 * panel p lie units_in(p) apart. */
INLINE fr_index units_in(const fr_cell *m, fr_index panel) {
    return min_index(VL, m->hidden - panel * VL);
}

INLINE real *view_at(fr_view view, fr_index row, fr_index s) {
    return (real *)view.row[row] + s * view.step;
}

/* The slot of a state that step s reads; its rows are ld apart. Made once a step: the division is
 * dear in the loop over rows. */
INLINE real *slot_at(const fr_cell *m, void *state, fr_index slots, fr_index s) {
    return (real *)state + (s % slots) * m->batch.rows * m->ld;
}
INLINE real *h_at(const fr_cell *m, fr_index s) { return slot_at(m, m->h, m->h_slots, s); }
INLINE real *c_at(const fr_cell *m, fr_index s) { return slot_at(m, m->c, m->c_slots, s); }

/* The operand of Wh at step s: h, after dropout if there is one. */
INLINE const real *h_dropped_at(const fr_cell *m, fr_index s) {
    return m->drop_h ? slot_at(m, m->dropped_h, 2, s) : h_at(m, s);
}

INLINE vec drop_h(const fr_cell *m, vec h, fr_index at) {
    return m->drop_h ? h * load((const real *)m->drop_h + at) : h;
}

INLINE real *tape_at(const fr_cell *m, fr_index panel, fr_index s, fr_index row) {
    return (real *)m->gates +
           (panel * m->tape_rows + m->batch.offset[s] + row) * PANEL;
}

INLINE fr_index chunk_number(const fr_cell_backward *m, fr_index s, fr_index row) {
    return m->cell.batch.offset[s] - m->chunk_first + row;
}

INLINE real *dgates_at(const fr_cell_backward *m, fr_index panel, fr_index number) {
    return (real *)m->dgates + (panel * m->chunk_rows + number) * PANEL;
}

/* The new h of one vector of one row, to the slots that the next step reads and to y. */
INLINE void put_h(const fr_cell *m, real *h_next, fr_index s, fr_index row, fr_index unit, vec h) {
    const fr_index at = row * m->ld + unit;
    store(h_next + at, h);
    if (m->drop_h) store(slot_at(m, m->dropped_h, 2, s + 1) + at, drop_h(m, h, at));
    store_part(view_at(m->y, row, s) + unit, h, m->hidden - unit);
}

/* One tile of a step: some rows by one panel before `end`. */
typedef struct {
    fr_index end, panel;
    fr_index number, height; /* of the first row in the share, and of rows */
    fr_index row[TILE_ROWS];
    const real *x[TILE_ROWS], *h[TILE_ROWS];
} step_tile;

/* Before the first tile of a gated cell, or of a cell with plain panels of four vectors. */
INLINE step_tile gated_tiles(fr_share share) {
    return (step_tile){.end = share.end, .panel = share.begin};
}
INLINE step_tile plain_tiles(fr_share share) {
    return (step_tile){.end = (share.end + 3) / 4, .panel = share.begin / 4};
}

/* Vectors of a plain panel. */
INLINE fr_index plain_width(const fr_cell *m, fr_index panel) {
    return min_index(4, m->ld / VL - panel * 4);
}

/* Moves on to the next tile, panel by panel; 0 after the last. */
INLINE int next_tile(const fr_cell *m, fr_share share, fr_index s, const real *h_dropped,
                     step_tile *t) {
    const fr_index count = share_count(share, m->batch.batch_sizes[s]);
    t->number += t->height;
    if (t->number == count) {
        t->number = 0;
        t->panel++;
    }
    if (count == 0 || t->panel >= t->end) return 0;
    t->height = tile_height(t->number, count);
    for (fr_index i = 0; i < t->height; i++) {
        t->row[i] = share_row(share, t->number + i);
        t->x[i] = view_at(m->x, t->row[i], s);
        t->h[i] = h_dropped + t->row[i] * m->ld;
    }
    return 1;
}

/* acc = from + a W for `width` vectors of the tile's panel of W, packed (depth, `stored` a panel). */
INLINE void tile_product(const step_tile *t, const real *const *from, const real *const *a,
                         fr_index depth, const void *w, fr_index stored, fr_index width,
                         real *acc) {
    const tile_shape shape = {1, depth, 1, 0, stored, neighbours, neighbours};
    real *to[TILE_ROWS];
    for (fr_index i = 0; i < t->height; i++) to[i] = acc + i * PANEL;
    tile(t->height, width, &shape, from, to, a, (const real *)w + t->panel * depth * stored * VL);
}

/* The sums of a tile's rows after the product with x: acc_init itself if there is no Wx, else
 * acc = acc_init + x Wx. Both have `stored` vectors a panel, of which `width` take part. */
INLINE void input_tile(const fr_cell *m, const step_tile *t, fr_index stored, fr_index width,
                       const void *const *acc_init, real *acc, const real **from) {
    for (fr_index i = 0; i < t->height; i++)
        from[i] =
            (const real *)(acc_init ? acc_init[t->number + i] : m->bias) + t->panel * stored * VL;
    if (!m->wx) return;
    tile_product(t, from, t->x, m->input, m->wx, stored, width, acc);
    for (fr_index i = 0; i < t->height; i++) from[i] = acc + i * PANEL;
}

/* The same, and acc is where they stand. */
INLINE void input_tile_in(const fr_cell *m, const step_tile *t, fr_index stored, fr_index width,
                          const void *const *acc_init, real *acc) {
    const real *from[TILE_ROWS];
    input_tile(m, t, stored, width, acc_init, acc, from);
    if (m->wx) return;
    for (fr_index i = 0; i < t->height; i++)
        for (fr_index v = 0; v < width; v++)
            store(acc + i * PANEL + v * VL, load(from[i] + v * VL));
}

/* acc = from + h Wh for the first `width` vectors of each row. */
INLINE void hidden_tile(const fr_cell *m, const step_tile *t, const real *const *from,
                        fr_index stored, fr_index width, real *acc) {
    tile_product(t, from, t->h, m->hidden, m->wh, stored, width, acc);
}

/* acc += h Wh. */
INLINE void hidden_tile_in(const fr_cell *m, const step_tile *t, fr_index stored, fr_index width,
                           real *acc) {
    const real *from[TILE_ROWS];
    for (fr_index i = 0; i < t->height; i++) from[i] = acc + i * PANEL;
    hidden_tile(m, t, from, stored, width, acc);
}

/* Rows that one call of product takes, so that each panel of weights is read once for many rows. */
#define ROW_GROUP 96

/* The rows of step s that a share has: pointers to their dgates in `panel` and to `out`, (rows, ld),
 * from number `at` on. Returns how many. */
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

/* out[row] (+)= dgates W^T for the share's rows and vectors of step s: the backward of h W. A panel
 * of dgates has `units` hidden units; gates first .. first+gates-1 of each take part. */
static void through_hidden(const fr_cell_backward *m, fr_share share, fr_index s, fr_index units,
                           fr_index first, fr_index gates, const void *w_t, real *out,
                           int accumulate) {
    const fr_index full = m->cell.hidden / units, left = m->cell.hidden % units, ld = m->cell.ld;
    void *a[ROW_GROUP], *c[ROW_GROUP];
    const fr_product whole = {.blocks = full,
                              .depth = gates * units,
                              .a = a,
                              .a_step = 1,
                              .a_block = m->chunk_rows * PANEL,
                              .b = w_t,
                              .b_step = 4,
                              .b_panel = (full + (left > 0)) * gates * units * PANEL,
                              .layout = {.width = 4,
                                         .advance = PANEL,
                                         .start = {0, VL, 2 * VL, 3 * VL},
                                         .limit = {ld, ld, ld, ld}},
                              .begin = share.begin / 4,
                              .end = (share.end + 3) / 4,
                              .c = c,
                              .accumulate = accumulate};
    fr_product rest = whole; /* of the last panel, which is not full */
    rest.blocks = 1;
    rest.depth = gates * left;
    rest.b = (const real *)w_t + full * gates * units * PANEL;
    rest.accumulate = accumulate || full;
    for (fr_index at = 0, height;
         (height = point_at_rows(m, share, s, at, 0, first * units, out, a, c)) > 0;
         at += height) {
        if (full) product(&whole, 0, height);
        if (!left) continue;
        point_at_rows(m, share, s, at, full, first * left, out, a, c);
        product(&rest, 0, height);
    }
}

/* dh (+)= drop_h * dmet for the share's rows and vectors of step s: the backward of drop_h*h. */
static void through_dropout(const fr_cell_backward *m, fr_share share, fr_index s,
                            const real *dh_dropped, int accumulate) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    for (fr_index i = 0; i < count; i++)
        for (fr_index v = share.begin; v < share.end; v++) {
            const fr_index at = share_row(share, i) * cell->ld + v * VL;
            real *dh = (real *)m->dh + at;
            const vec d = drop_h(cell, load(dh_dropped + at), at);
            store(dh, accumulate ? load(dh) + d : d);
        }
}

INLINE real *operand_at(const fr_cell_backward *m, fr_index vector, fr_index number) {
    return (real *)m->operand + (vector * m->chunk_rows + number) * VL;
}

/* Copies vectors begin .. end-1 of one row into the operand of the weight gradient, in which the
 * row's vectors are from `first` on. */
INLINE void operand_row(const fr_cell_backward *m, fr_index first, fr_index number,
                        const real *from, fr_index size, fr_index begin, fr_index end) {
    for (fr_index v = begin; v < end; v++)
        store(operand_at(m, first + v, number), load_part(from + v * VL, size - v * VL));
}

/* The x, and the h after dropout, that made step s, beside the dgates that step s has just left. */
static void operand_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const fr_index in = vectors_of(cell->input), vectors = cell->ld / VL;
    const fr_index begin = in * share.begin / vectors, end = in * share.end / vectors;
    const real *h_prev = h_at(cell, s);
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i), number = chunk_number(m, s, row);
        operand_row(m, 0, number, view_at(cell->x, row, s), cell->input, begin, end);
        for (fr_index v = share.begin; v < share.end; v++) {
            const fr_index at = row * cell->ld + v * VL;
            const vec h = load_part(h_prev + at, cell->hidden - v * VL);
            store(operand_at(m, in + v, number), drop_h(cell, h, at));
        }
    }
}

/* Waits for the threads that share the rows, if there are any. */
INLINE void barrier_wait(fr_share share) {
    if (share.barrier) fr_barrier_wait(share.barrier, share.threads, share.spin_limit);
}

/* dy of a row's vector of hidden units. */
INLINE vec upstream(const fr_cell_backward *m, fr_index row, fr_index s, fr_index unit) {
    return load_part(view_at(m->dy, row, s) + unit, m->cell.hidden - unit);
}

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
 * rows of W at a time, which lie in four streams. Beside strips of 16 vectors, which stay in
 * registers for all of W but jump from row to row, GB/s of an LSTM's weights with D=H (Zen 4): H64 103
 * and 108, H128 104 and 93, H512 67 and 60, H650 56 and 48, H1024 22 and 11. */
static void add_row_product(real *work, const real *v, fr_index depth, const real *w,
                            fr_index columns, fr_index w_step) {
    fr_index k = 0;
    for (; k + 4 <= depth; k += 4)
        add_rows_product(4, work, v + k, w + k * w_step, columns, w_step);
    for (; k < depth; k++) add_rows_product(1, work, v + k, w + k * w_step, columns, w_step);
}

#endif
