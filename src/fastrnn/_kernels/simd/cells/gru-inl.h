/* One GRU step for a share of the rows: r, z = sigmoid(b + x Wx + h Wh), h' = (1-z)*n + z*h, and
 *
 *   reset after  (cuDNN)            n = tanh(b_n + x Wn + r*(bh + h Un))
 *   reset before (Cho et al. 2014)  n = tanh(b_n + x Wn + (r*h) Un)
 *
 * A panel's vectors are in the order n, r, z, q for VL hidden units, q being what only the
 * recurrent side of n knows: the product with x makes n, r, z, the one with h makes r, z, q, and
 * both fall on neighbouring vectors of one tile. Reset before needs r*h of all units before it can
 * make n, so it goes over the panels twice. The tape keeps n, r, z and q = bh + h Un, or r*h.
 *
 * Dropout acts on h before its products: r, z and q, or r*h, see drop_h*h, and z*h sees h itself.
 *
 * Textbooks have h' = (1-z)*h + z*n. As 1 - sigmoid(a) = sigmoid(-a), their z is ours with another
 * sign before the sigmoid, and dz is theirs with another sign after it. */
#pragma once

#include <string.h>

#include "../row_product-inl.h"
#include "../vec-inl.h"
#include "../vmath-inl.h"
#include "cell-inl.h"
#include "cell_backward-inl.h"

/* The sign of z before its sigmoid. */
INLINE real z_sign(const fr_cell *m) { return m->complement ? -1 : 1; }

/* h' = (1-z)*n + z*h, in the form that leaves the compiler one way to fuse it: a single step gives
 * the same bits as a step of many rows. */
INLINE vec blend(vec n, vec z, vec h) { return n + z * (h - n); }

/* The new state for one vector of one row. */
INLINE void new_state(const fr_cell *m, const real *h_prev, real *h_next, fr_index unit, fr_index s,
                      fr_index row, vec n, vec z) {
    put_h(m, h_next, s, row, unit, blend(n, z, load(h_prev + row * m->ld + unit)));
}

/* The sums of n, r, z and, from bh on, q for a piece, to which h adds `gates` of a panel. A pair of
 * panels has its lines of acc one after the other. */
INLINE void gru_sums(const fr_cell *m, step_piece *t, fr_index gates, const void *const *acc_init,
                     real *acc) {
    const fr_index units = units_in(m, t->panel);
    pair_panels(m, t);
    for (fr_index i = 0; i < t->panels; i++) {
        real *sums = acc + i * PANEL;
        input_piece(m, t, t->panel + i, 3, vectors_of(3 * units), acc_init, sums);
        for (fr_index line = 0; m->bias_h && line < t->height; line++) {
            const vec bias_h = load((const real *)m->bias_h + (t->panel + i) * VL);
            store_part(sums + line * PANEL + 3 * units, bias_h, units);
        }
    }
    if (t->panels == 2)
        hidden_pair(t, m->wh, gates, acc + units);
    else
        hidden_piece(m, t, m->wh, gates, vectors_of(gates * units), acc + units);
}

/* The end of a step of a piece's panel, the sums of whose rows lie at `a`. */
INLINE void gru_after_panel(const fr_cell *m, const step_piece *t, const real *h_prev, real *h_next,
                            fr_index panel, const real *a) {
    const fr_index units = units_in(m, panel);
    const real sign = z_sign(m);
    for (fr_index line = 0; line < t->height; line++, a += PANEL) {
        const vec r = vsigmoid(load(a + units)), z = vsigmoid(sign * load(a + 2 * units));
        const vec q = load(a + 3 * units);
        const vec n = vtanh(load(a) + r * q);
        new_state(m, h_prev, h_next, panel * VL, t->s, t->row[line], n, z);
        keep_gates(m, panel, t->s, t->row[line], n, r, z, q);
    }
}

static void gru_after(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init) {
    const real *h_prev = h_at(m, s);
    real *h_next = h_at(m, s + 1);
    real acc[FR_MOST_ROWS * PANEL] ALIGNED;
    step_piece t;
    gated_pieces(&t, m, share, s, h_dropped_at(m, s));
    while (next_piece(&t)) {
        gru_sums(m, &t, 3, acc_init, acc);
        for (fr_index i = 0; i < t.panels; i++)
            gru_after_panel(m, &t, h_prev, h_next, t.panel + i, acc + i * PANEL);
    }
}

/* Where b_n + x Wn, r and z of one row and panel wait for the second pass of reset before. */
INLINE real *waiting_at(const fr_cell *m, fr_index row, fr_index panel) {
    return (real *)m->pre_activations + (row * m->vectors + panel) * PANEL;
}

/* The end of the first pass for a piece's panel, the sums of whose rows lie at `a`. */
INLINE void gru_reset_panel(const fr_cell *m, const step_piece *t, fr_index panel, const real *a) {
    const fr_index units = units_in(m, panel);
    const real sign = z_sign(m);
    for (fr_index line = 0; line < t->height; line++, a += PANEL) {
        const fr_index row = t->row[line];
        const vec r = vsigmoid(load(a + units)), z = vsigmoid(sign * load(a + 2 * units));
        real *pre_activations = waiting_at(m, row, panel);
        store(pre_activations, load(a));
        store(pre_activations + VL, r);
        store(pre_activations + 2 * VL, z);
        store((real *)m->reset_h + row * m->ld + panel * VL, r * load(t->h[line] + panel * VL));
    }
}

/* First pass of reset before: r*h of every unit. */
static void gru_reset(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init) {
    real acc[FR_MOST_ROWS * PANEL] ALIGNED;
    step_piece t;
    gated_pieces(&t, m, share, s, h_dropped_at(m, s));
    while (next_piece(&t)) {
        gru_sums(m, &t, 2, acc_init, acc);
        for (fr_index i = 0; i < t.panels; i++)
            gru_reset_panel(m, &t, t.panel + i, acc + i * PANEL);
    }
}

/* Second pass: n and the new state. */
static void gru_candidate(const fr_cell *m, fr_share share, fr_index s) {
    const real *h_prev = h_at(m, s);
    real *h_next = h_at(m, s + 1);
    real acc[FR_MOST_ROWS * PANEL] ALIGNED;
    step_piece t;
    plain_pieces(&t, m, share, s, m->reset_h);
    while (next_piece(&t)) {
        const fr_index width = plain_width(m, t.panel);
        for (fr_index line = 0; line < t.height; line++)
            for (fr_index v = 0; v < width; v++)
                store(acc + line * PANEL + v * VL,
                      load(waiting_at(m, t.row[line], t.panel * 4 + v)));
        hidden_piece(m, &t, m->wh_n, 4, width, acc);
        for (fr_index line = 0; line < t.height; line++)
            for (fr_index v = 0; v < width; v++) {
                const fr_index row = t.row[line], panel = t.panel * 4 + v;
                const real *pre_activations = waiting_at(m, row, panel);
                const vec r = load(pre_activations + VL), z = load(pre_activations + 2 * VL);
                const vec n = vtanh(load(acc + line * PANEL + v * VL));
                new_state(m, h_prev, h_next, panel * VL, s, row, n, z);
                keep_gates(m, panel, s, row, n, r, z, load(t.h[line] + panel * VL));
            }
    }
}

static void gru_step(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init) {
    if (m->bias_h) {
        gru_after(m, share, s, acc_init);
        return;
    }
    gru_reset(m, share, s, acc_init);
    barrier_wait(share);
    gru_candidate(m, share, s);
}

/* The backward of h' = (1-z)*n + z*h: leaves dn and dz (before the nonlinearities) as dgates, and
 * the part of dh that passes z. Reset after: also dr and dq, in the order of the tile; reset
 * before: also r*h as operand. */
INLINE void gru_through_blend(const fr_cell_backward *m, fr_share share, fr_index s,
                              const int after) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const fr_index operand = vectors_of(cell->input) + cell->vectors;
    const real *h_prev = h_at(cell, s);
    const real sign = z_sign(cell);
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i), number = chunk_number(m, s, row);
        for (fr_index panel = share.begin; panel < share.end; panel++) {
            const fr_index units = units_in(cell, panel), unit = panel * VL;
            const fr_index at = row * cell->ld + unit;
            real *dh_at = (real *)m->dstate[0] + at, *d = dgates_at(m, panel, number);
            const real *gates = tape_at(cell, panel, s, row);
            const vec n = load(gates), r = load(gates + VL), z = load(gates + 2 * VL);
            const vec dh = load(dh_at) + upstream(m, row, s, unit);
            const vec dn = dh * (1 - z) * (1 - n * n);
            const vec dz = sign * dh * (load(h_prev + at) - n) * z * (1 - z);
            store_part(d, dn, units);
            store_part(d + 2 * units, dz, units);
            store(dh_at, dh * z);
            if (after) { /* n = tanh(b_n + x Wn + r*q) */
                const vec q = load(gates + 3 * VL);
                store_part(d + units, dn * q * r * (1 - r), units);
                store_part(d + 3 * units, dn * r, units);
            } else {
                store(operand_at(m, operand + panel, number), load_part(gates + 3 * VL, units));
            }
        }
    }
}

/* Reset before, n = tanh(b_n + x Wn + (r*h) Un): from dn to dr, and to r * d(r*h) in `out`. */
static void gru_through_reset(const fr_cell_backward *m, fr_share share, fr_index s, real *out) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const real *h_prev = h_at(cell, s);
    through_hidden(m, share, s, VL, 0, 1, m->wh_n_t, m->dreset_h, 0);
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i), number = chunk_number(m, s, row);
        for (fr_index panel = share.begin; panel < share.end; panel++) {
            const fr_index units = units_in(cell, panel), at = row * cell->ld + panel * VL;
            const vec r = load(tape_at(cell, panel, s, row) + VL);
            const vec dreset_h = load((real *)m->dreset_h + at);
            const vec h_dropped = drop_h(cell, load(h_prev + at), at);
            const vec dr = dreset_h * h_dropped * r * (1 - r);
            store_part(dgates_at(m, panel, number) + units, dr, units);
            store(out + at, out == m->dstate[0] ? load(out + at) + dreset_h * r : dreset_h * r);
        }
    }
}

static void gru_backward_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    void *out = m->cell.drop_h ? m->dreset_h : m->dstate[0];
    if (m->cell.bias_h) {
        gru_through_blend(m, share, s, 1);
        finish_step(m, share, s, VL, 1, 3, out, out == m->dstate[0]); /* r, z, q = b + h Wh */
        return;
    }
    gru_through_blend(m, share, s, 0);
    barrier_wait(share);
    gru_through_reset(m, share, s, out);
    finish_step(m, share, s, VL, 1, 2, out, 1); /* r, z = b + h Wh */
}

/* r and z in the order of the columns, b_n + x Wn, then h Un or (r*h) Un, r*h, and the block of a
 * sum. */
enum { gru_work_per_unit = 8 };

static void gru_single(const fr_cell_single *m) {
    const fr_index hidden = m->hidden, columns = 3 * hidden;
    const real *wh_n = (const real *)m->wh + 2 * hidden, *h_prev = m->h;
    real *a = m->work, *r = a + m->order[0] * hidden, *z = a + m->order[1] * hidden;
    real *n = a + 2 * hidden, *q = n + hidden, *reset_h = q + hidden;
    real *block = reset_h + hidden, *h_next = m->h_next;
    single_sums(m, columns, 2 * hidden, a, block);
    if (m->complement)
        for (fr_index i = 0; i < hidden; i++) z[i] = -z[i];
    for (fr_index unit = 0; unit < 2 * hidden; unit += VL) {
        const fr_index lanes = 2 * hidden - unit;
        store_part(a + unit, vsigmoid(load_part(a + unit, lanes)), lanes);
    }
    if (m->bh) {
        memcpy(q, m->bh, (size_t)hidden * sizeof(real));
        add_row_product(q, h_prev, hidden, wh_n, hidden, columns, block);
        for (fr_index i = 0; i < hidden; i++) n[i] += r[i] * q[i];
    } else {
        for (fr_index i = 0; i < hidden; i++) reset_h[i] = r[i] * h_prev[i];
        add_row_product(n, reset_h, hidden, wh_n, hidden, columns, block);
    }
    for (fr_index unit = 0; unit < hidden; unit += VL) {
        const fr_index lanes = hidden - unit;
        const vec value = blend(vtanh(load_part(n + unit, lanes)), load_part(z + unit, lanes),
                                load_part(h_prev + unit, lanes));
        store_part(h_next + unit, value, lanes);
    }
}
