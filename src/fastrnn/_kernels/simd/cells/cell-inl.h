/* What the cells share in a step: where a row's numbers lie, and the products. */
#pragma once

#include <string.h>

#include "../product-inl.h"
#include "../row_product-inl.h"
#include "../vec-inl.h"

/* Rows of a share among the first `rows`. */
INLINE fr_index share_count(fr_share share, fr_index rows) {
    const fr_index left = min_index(rows, share.last) - share.first;
    return left <= 0 ? 0 : (left + share.stride - 1) / share.stride;
}

INLINE fr_index share_row(fr_share share, fr_index i) { return share.first + i * share.stride; }

INLINE fr_index vectors_of(fr_index columns) { return (columns + VL - 1) / VL; }
INLINE fr_index panels_of(fr_index units) { return (units + PANEL - 1) / PANEL; }

/* The share of the vectors of h, of which there may be fewer than of hidden units. */
INLINE fr_share share_of_h(const fr_cell *m, fr_share share) {
    const fr_index panels = panels_of(m->output), all = panels_of(m->hidden);
    share.begin = share.begin / 4 * panels / all * 4;
    share.end = min_index((share.end + 3) / 4 * panels / all * 4, vectors_of(m->output));
    return share;
}

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
INLINE real *h_at(const fr_cell *m, fr_index s) { return slot_at(m, m->state[0], m->slots[0], s); }
INLINE real *c_at(const fr_cell *m, fr_index s) { return slot_at(m, m->state[1], m->slots[1], s); }

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

/* Walks over a share's part of a step: a piece is a group of rows by a panel, or a row by two. */
typedef struct {
    const fr_cell *cell;
    fr_share share;
    fr_index s;
    const real *h_at;            /* what the rows of Wh meet, (rows, ld) */
    fr_index panel, panels, end; /* of the piece, and of the share */
    parts pieces;
    fr_index number;        /* of the piece among those of the panel */
    fr_index first, height; /* of its first row in the share, and of rows */
    fr_index row[FR_MOST_ROWS];
    const real *x[FR_MOST_ROWS], *h[FR_MOST_ROWS];
    const void *x_int8[FR_MOST_ROWS], *h_int8[FR_MOST_ROWS]; /* the same, quantized */
    int8_panel int8[2];                                      /* what h meets, and x */
} step_piece;

/* Where a share has its quantized rows, in their order, and their scales. */
typedef struct {
    char *x, *h;
    fr_index x_bytes, h_bytes;
    float *x_scale, *h_scale;
} quantized_rows;

INLINE quantized_rows quantized(const fr_cell *m, fr_share share) {
    quantized_rows q;
    q.x_bytes = fr_int8_row_bytes(m->int8, m->input);
    q.h_bytes = fr_int8_row_bytes(m->int8, m->hidden);
    q.x_scale = share.work;
    q.h_scale = q.x_scale + m->batch.rows;
    q.x = (char *)share.work + fr_int8_scale_bytes(m->batch.rows);
    q.h = q.x + m->batch.rows * q.x_bytes;
    return q;
}

/* Quantizes what the rows of Wh meet and, where Wx is multiplied, x. */
static NOINLINE void quantize_rows(const fr_cell *m, fr_share share, fr_index s, const real *h,
                                   fr_index count) {
    const quantized_rows q = quantized(m, share);
    const int meets_x = m->wx && h != m->reset_h;
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i);
        m->int8->quantize((const float *)h + row * m->ld, m->hidden, q.h + i * q.h_bytes,
                          q.h_scale + i);
        if (meets_x)
            m->int8->quantize((const float *)view_at(m->x, row, s), m->input, q.x + i * q.x_bytes,
                              q.x_scale + i);
    }
}

INLINE void begin_pieces(step_piece *t, const fr_cell *m, fr_share share, fr_index s, const real *h,
                         fr_index panel, fr_index end) {
    const fr_index count = share_count(share, m->batch.batch_sizes[s]);
    t->cell = m;
    t->share = share;
    t->s = s;
    t->h_at = h;
    t->panel = panel;
    t->panels = 1;
    t->end = count ? end : panel;
    t->pieces = split_evenly(count, m->plan->rows);
    t->number = -1;
    t->first = t->height = 0;
    if (m->format == FR_INT8) quantize_rows(m, share, s, h, count);
}

/* Before the first piece of a gated cell, or of a cell with plain panels of four vectors. */
INLINE void gated_pieces(step_piece *t, const fr_cell *m, fr_share share, fr_index s,
                         const real *h) {
    begin_pieces(t, m, share, s, h, share.begin, share.end);
}
INLINE void plain_pieces(step_piece *t, const fr_cell *m, fr_share share, fr_index s,
                         const real *h) {
    begin_pieces(t, m, share, s, h, share.begin / 4, (share.end + 3) / 4);
}

/* Vectors of a plain panel. */
INLINE fr_index plain_width(const fr_cell *m, fr_index panel) {
    return min_index(4, m->vectors - panel * 4);
}

/* Points to the piece's rows where they lie quantized. */
static NOINLINE void point_at_quantized(step_piece *t) {
    const quantized_rows q = quantized(t->cell, t->share);
    for (fr_index i = 0; i < t->height; i++) {
        t->x_int8[i] = q.x + (t->first + i) * q.x_bytes;
        t->h_int8[i] = q.h + (t->first + i) * q.h_bytes;
    }
}

/* Moves on to the next piece, panel by panel; 0 after the last. */
INLINE int next_piece(step_piece *t) {
    const int first = t->number < 0;
    t->first += t->height;
    if (++t->number == t->pieces.count) {
        t->number = t->first = 0;
        t->panel += t->panels;
        t->panels = 1;
    }
    if (t->panel >= t->end) return 0;
    if (!first && t->pieces.count == 1) return 1; /* the same rows again */
    t->height = part_size(&t->pieces, t->number);
    for (fr_index i = 0; i < t->height; i++) {
        t->row[i] = share_row(t->share, t->first + i);
        t->x[i] = view_at(t->cell->x, t->row[i], t->s);
        t->h[i] = t->h_at + t->row[i] * t->cell->ld;
    }
    if (t->cell->format == FR_INT8) point_at_quantized(t);
    return 1;
}

/* a W for a panel of W, which is packed with `stored` vectors a panel. */
INLINE term panel_term(fr_index panel, const real *const *a, fr_index depth, const void *w,
                       fr_index stored) {
    const fr_index size = depth * stored * VL;
    return (term){a, 1, depth, 1, 0, (const real *)w + panel * size, stored, size, NULL};
}

/* The same for a matrix of fewer bits; what the term points to is the piece's. */
static NOINLINE term low_term(step_piece *t, int of_x, fr_index panel, const void *w,
                              fr_index stored) {
    const fr_cell *m = t->cell;
    const fr_index depth = of_x ? m->input : m->hidden;
    term result = panel_term(panel, of_x ? t->x : t->h, depth, w, stored);
    if (m->format == FR_BFLOAT16) {
        result.next = fr_elements(FR_BFLOAT16, depth) * stored * VL;
        result.b = (const real *)w + panel * result.next;
        return result;
    }
    const quantized_rows q = quantized(m, t->share);
    const fr_int8_operands o = {m->int8, w, (of_x ? q.x_scale : q.h_scale) + t->first};
    t->int8[of_x] = int8_panel_of(&o, panel, depth, stored);
    result.int8 = &t->int8[of_x];
    result.a = (const real *const *)(of_x ? t->x_int8 : t->h_int8);
    return result;
}

/* A panel of Wx. */
INLINE term input_term(step_piece *t, fr_index panel, fr_index stored) {
    const fr_cell *m = t->cell;
    if (m->format != FR_REAL) return low_term(t, 1, panel, m->wx, stored);
    return panel_term(panel, t->x, m->input, m->wx, stored);
}

/* A panel of Wh or a part of it. */
INLINE term hidden_term(step_piece *t, fr_index panel, const void *w, fr_index stored) {
    const fr_cell *m = t->cell;
    if (m->format != FR_REAL) return low_term(t, 0, panel, w, stored);
    return panel_term(panel, t->h, m->hidden, w, stored);
}

/* acc = from + the terms, for `width` vectors of the piece's panel. */
INLINE void sum_piece(const fr_cell *m, const step_piece *t, const real *const *from,
                      const term *terms, fr_index count, fr_index width, real *acc) {
    real *to[FR_MOST_ROWS];
    for (fr_index i = 0; i < t->height; i++) to[i] = acc + i * PANEL;
    const panel_sum sum = {terms, count, from, to, neighbours, neighbours, 0, m->format};
    sum_panel(m->plan, &sum, t->height, width);
}

/* Where the sums of the piece's rows begin in a panel: acc_init, or the bias. */
INLINE void point_at_init(const fr_cell *m, const step_piece *t, fr_index panel, fr_index stored,
                          const void *const *acc_init, const real **from) {
    for (fr_index i = 0; i < t->height; i++)
        from[i] = (const real *)(acc_init ? acc_init[t->first + i] : m->bias) + panel * stored * VL;
}

/* Zeros where the columns of a last panel do not reach: what is computed of them is no accident. */
INLINE void clear_rest(const step_piece *t, fr_index width, real *acc) {
    for (fr_index i = 0; i < t->height; i++)
        for (fr_index v = width; v < 4; v++) store(acc + i * PANEL + v * VL, (vec){0});
}

/* acc = acc_init + x Wx, or acc_init alone if there is no Wx, for a panel of the piece; both have
 * `stored` vectors a panel, of which `width` take part. */
INLINE void input_piece(const fr_cell *m, step_piece *t, fr_index panel, fr_index stored,
                        fr_index width, const void *const *acc_init, real *acc) {
    const real *from[FR_MOST_ROWS];
    if (width < stored) clear_rest(t, width, acc);
    point_at_init(m, t, panel, stored, acc_init, from);
    if (m->wx) {
        const term x = input_term(t, panel, stored);
        sum_piece(m, t, from, &x, 1, width, acc);
        return;
    }
    for (fr_index i = 0; i < t->height; i++)
        for (fr_index v = 0; v < width; v++)
            store(acc + i * PANEL + v * VL, load(from[i] + v * VL));
}

/* acc += h W, W being Wh or a part of it. */
INLINE void hidden_piece(const fr_cell *m, step_piece *t, const void *w, fr_index stored,
                         fr_index width, real *acc) {
    const real *from[FR_MOST_ROWS];
    const term h = hidden_term(t, t->panel, w, stored);
    for (fr_index i = 0; i < t->height; i++) from[i] = acc + i * PANEL;
    sum_piece(m, t, from, &h, 1, width, acc);
}

/* Takes two panels of fewer than four vectors at once, if they are full and not deeper than a block
 * of a sum, and the piece is a single row: see single_row_pair. Vectors of AVX-512 are long enough,
 * and one stream is read faster; what is deeper comes from beyond the L2, which is slower still. */
INLINE void pair_panels(const fr_cell *m, step_piece *t) {
    const int full = t->panel + 2 <= t->end && (t->panel + 2) * VL <= m->hidden;
    const int one_block = m->hidden <= FR_SUM_BLOCK && m->format != FR_INT8;
    if (t->height == 1 && full && one_block && FR_VECTOR_BYTES < 64) t->panels = 2;
}

/* The same for both panels of a pair, whose lines of acc follow each other. */
INLINE void hidden_pair(step_piece *t, const void *w, fr_index stored, real *acc) {
    real *const at[2] = {acc, acc + PANEL};
    const real *const *from = (const real *const *)at;
    const term h[2] = {hidden_term(t, t->panel, w, stored),
                       hidden_term(t, t->panel + 1, w, stored)};
    const int format = t->cell->format;
    const panel_sum pair[2] = {{h, 1, from, at, neighbours, neighbours, 0, format},
                               {h + 1, 1, from + 1, at + 1, neighbours, neighbours, 0, format}};
    if (format == FR_REAL)
        single_row_pair(pair, stored);
    else
        single_half_row_pair(pair, stored);
}

/* acc = acc_init + x Wx + h Wh, of panels of four vectors. */
INLINE void whole_piece(const fr_cell *m, step_piece *t, fr_index width,
                        const void *const *acc_init, real *acc) {
    const real *from[FR_MOST_ROWS];
    term terms[2];
    fr_index count = 0;
    if (m->wx) terms[count++] = input_term(t, t->panel, 4);
    terms[count++] = hidden_term(t, t->panel, m->wh, 4);
    if (width < 4) clear_rest(t, width, acc);
    point_at_init(m, t, t->panel, 4, acc_init, from);
    sum_piece(m, t, from, terms, count, width, acc);
}

/* Waits for the threads that share the rows, if there are any. */
INLINE void barrier_wait(fr_share share) {
    if (share.barrier) fr_barrier_wait(share.barrier, share.threads, share.spin_limit);
}

/* a = b + x Wx + h Wh for one row on weights as they lie; h meets the first `h_columns` columns.
 * `block` is scratch of as many numbers as there are columns. */
INLINE void single_sums(const fr_cell_single *m, fr_index columns, fr_index h_columns, real *a,
                        real *block) {
    memcpy(a, m->b, (size_t)columns * sizeof(real));
    add_row_product(a, m->x, m->input, m->wx, columns, columns, block);
    add_row_product(a, m->h, m->hidden, m->wh, h_columns, columns, block);
}
