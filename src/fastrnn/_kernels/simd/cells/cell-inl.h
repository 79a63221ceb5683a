/* What the cells share in a step: where a row's numbers lie, and the tiles. */
#pragma once

#include <string.h>

#include "../product-inl.h"
#include "../row_product-inl.h"
#include "../vec-inl.h"

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
    return (real *)m->gates + (panel * m->tape_rows + m->batch.offset[s] + row) * PANEL;
}

/* To the tape, in training: the four vectors that a row's panel keeps. */
INLINE void keep_gates(const fr_cell *m, fr_index panel, fr_index s, fr_index row, vec a, vec b,
                       vec c, vec d) {
    if (!m->gates) return;
    real *gates = tape_at(m, panel, s, row);
    store(gates, a);
    store(gates + VL, b);
    store(gates + 2 * VL, c);
    store(gates + 3 * VL, d);
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

/* acc = from + a W for `width` vectors of the tile's panel of W, packed with `stored` a panel. */
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

/* acc += h W, W being Wh or a part of it. */
INLINE void hidden_tile_in(const fr_cell *m, const step_tile *t, const void *w, fr_index stored,
                           fr_index width, real *acc) {
    const real *from[TILE_ROWS];
    for (fr_index i = 0; i < t->height; i++) from[i] = acc + i * PANEL;
    tile_product(t, from, t->h, m->hidden, w, stored, width, acc);
}

/* acc = acc_init + x Wx + h Wh, of panels of four vectors. */
INLINE void whole_tile(const fr_cell *m, const step_tile *t, fr_index width,
                       const void *const *acc_init, real *acc) {
    const real *from[TILE_ROWS];
    input_tile(m, t, 4, width, acc_init, acc, from);
    tile_product(t, from, t->h, m->hidden, m->wh, 4, width, acc);
}

/* Waits for the threads that share the rows, if there are any. */
INLINE void barrier_wait(fr_share share) {
    if (share.barrier) fr_barrier_wait(share.barrier, share.threads, share.spin_limit);
}

/* a = b + x Wx + h Wh for one row on weights as they lie; h meets the first `h_columns` columns. */
INLINE void single_sums(const fr_cell_single *m, fr_index columns, fr_index h_columns, real *a) {
    memcpy(a, m->b, (size_t)columns * sizeof(real));
    add_row_product(a, m->x, m->input, m->wx, columns, columns);
    add_row_product(a, m->h, m->hidden, m->wh, h_columns, columns);
}
