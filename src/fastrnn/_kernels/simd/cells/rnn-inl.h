/* One step of the plain RNN (Elman 1990) for a share of the rows: h' = tanh or relu(bias + x Wx +
 * h Wh). Panels are plain: four vectors of neighbouring hidden units, the last panel narrower. */
#pragma once

#include "../vec-inl.h"
#include "../vmath-inl.h"
#include "cell-inl.h"
#include "cell_backward-inl.h"

/* max(a, 0), NaN kept. */
INLINE vec vrelu(vec a) { return vselect(a < 0, broadcast(0), a); }

static void rnn_step(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init) {
    const real *h_dropped = h_dropped_at(m, s);
    real *h_next = h_at(m, s + 1);
    real acc[FR_MOST_ROWS * PANEL] ALIGNED;
    step_piece t;
    plain_pieces(&t, m, share, s, h_dropped);
    while (next_piece(&t)) {
        const fr_index width = plain_width(m, t.panel);
        whole_piece(m, &t, width, acc_init, acc);
        for (fr_index line = 0; line < t.height; line++)
            for (fr_index v = 0; v < width; v++) {
                const fr_index row = t.row[line], unit = (t.panel * 4 + v) * VL;
                const vec a = load(acc + line * PANEL + v * VL);
                put_h(m, h_next, s, row, unit, m->relu ? vrelu(a) : vtanh(a));
            }
    }
}

static void rnn_backward_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->batch.batch_sizes[s]);
    const real *h_next = h_at(cell, s + 1);
    for (fr_index number = 0; number < count; number++) {
        const fr_index row = share_row(share, number);
        for (fr_index v = share.begin; v < share.end; v++) {
            const fr_index at = row * cell->ld + v * VL;
            const vec dh = load((real *)m->dstate[0] + at) + upstream(m, row, s, v * VL);
            const vec h = load(h_next + at);
            /* h = tanh(a), or relu(a), whose slope at 0 is 0 */
            const vec da = cell->relu ? vselect(h <= 0, broadcast(0), dh) : dh * (1 - h * h);
            store(dgates_at(m, v / 4, chunk_number(m, s, row)) + v % 4 * VL, da);
        }
    }
    finish_step(m, share, s, PANEL, 0, 1, m->dstate[0], 0);
}

/* The block of a sum. */
enum { rnn_work_per_unit = 1 };

static void rnn_single(const fr_cell_single *m) {
    const fr_index hidden = m->hidden, relu = m->relu;
    real *a = m->h_next;
    single_sums(m, hidden, hidden, a, m->work);
    for (fr_index unit = 0; unit < hidden; unit += VL) {
        const vec value = load_part(a + unit, hidden - unit);
        store_part(a + unit, relu ? vrelu(value) : vtanh(value), hidden - unit);
    }
}
