/* One LSTM step for a share of the rows (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
 *
 *   a = bias + x Wx + h Wh;  i, f, o = sigmoid(a_i, a_f, a_o);  g = tanh(a_g)
 *   c' = f*c + i*g;  h' = o*tanh(c')
 *
 * A panel's four vectors are the gates i, f, g, o of VL hidden units, so that a tile ends with
 * everything the update of those units needs. */
#pragma once

#include "../vec-inl.h"
#include "../vmath-inl.h"
#include "cell-inl.h"
#include "cell_backward-inl.h"

static void lstm_step(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init) {
    const real *h_dropped = h_dropped_at(m, s), *c_prev = c_at(m, s);
    real *h_next = h_at(m, s + 1), *c_next = c_at(m, s + 1);
    real acc[FR_MOST_ROWS * PANEL] ALIGNED;
    step_piece t;
    gated_pieces(&t, m, share, s, h_dropped);
    while (next_piece(&t)) {
        const fr_index n = units_in(m, t.panel), unit = t.panel * VL;
        whole_piece(m, &t, vectors_of(4 * n), acc_init, acc);
        /* The update of c for all rows before that of h: each row's chain from c to h is long. */
        for (fr_index line = 0; line < t.height; line++) {
            const fr_index row = t.row[line], at = row * m->ld + unit;
            real *a = acc + line * PANEL;
            const vec i = vsigmoid(load(a)), f = vsigmoid(load(a + n));
            const vec g = vtanh(load(a + 2 * n)), o = vsigmoid(load(a + 3 * n));
            store(c_next + at, f * load(c_prev + at) + i * g);
            store(a, o);
            keep_gates(m, t.panel, s, row, i, f, g, o);
        }
        for (fr_index line = 0; line < t.height; line++) {
            const fr_index row = t.row[line], at = row * m->ld + unit;
            const vec h = load(acc + line * PANEL) * vtanh(load(c_next + at));
            put_h(m, h_next, s, row, unit, h);
        }
    }
}

static void lstm_backward_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const real *c_prev = c_at(cell, s), *c_next = c_at(cell, s + 1);
    for (fr_index number = 0; number < count; number++) {
        const fr_index row = share_row(share, number);
        for (fr_index panel = share.begin; panel < share.end; panel++) {
            const fr_index n = units_in(cell, panel), unit = panel * VL;
            const fr_index at = row * cell->ld + unit;
            real *dc_at = (real *)m->dstate[1] + at;
            const real *gates = tape_at(cell, panel, s, row);
            const vec i = load(gates), f = load(gates + VL);
            const vec g = load(gates + 2 * VL), o = load(gates + 3 * VL);
            const vec t = vtanh(load(c_next + at));
            const vec dh = load((real *)m->dstate[0] + at) + upstream(m, row, s, unit);
            /* h = o * tanh(c) */
            const vec d_o = dh * t;
            const vec dc = load(dc_at) + dh * o * (1 - t * t);
            /* c = f * c_prev + i * g, then through sigmoid and tanh */
            real *d = dgates_at(m, panel, chunk_number(m, s, row));
            store_part(d, dc * g * i * (1 - i), n);
            store_part(d + n, dc * load(c_prev + at) * f * (1 - f), n);
            store_part(d + 2 * n, dc * i * (1 - g * g), n);
            store_part(d + 3 * n, d_o * o * (1 - o), n);
            store(dc_at, dc * f);
        }
    }
    finish_step(m, share, s, VL, 0, 4, m->dstate[0], 0);
}

/* The sums, and the block of a sum. */
enum { lstm_work_per_unit = 8 };

static void lstm_single(const fr_cell_single *m) {
    const fr_index hidden = m->hidden;
    real *a = m->work, *h_next = m->h_next, *c_next = m->c_next;
    const real *c_prev = m->c;
    const real *a_i = a + m->order[0] * hidden, *a_f = a + m->order[1] * hidden;
    const real *a_g = a + m->order[2] * hidden, *a_o = a + m->order[3] * hidden;
    single_sums(m, 4 * hidden, 4 * hidden, a, a + 4 * hidden);
    for (fr_index unit = 0; unit < hidden; unit += VL) {
        const fr_index n = hidden - unit;
        const vec i = vsigmoid(load_part(a_i + unit, n)), f = vsigmoid(load_part(a_f + unit, n));
        const vec g = vtanh(load_part(a_g + unit, n)), o = vsigmoid(load_part(a_o + unit, n));
        const vec c = f * load_part(c_prev + unit, n) + i * g;
        store_part(c_next + unit, c, n);
        store_part(h_next + unit, o * vtanh(c), n);
    }
}
