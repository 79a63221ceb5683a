/* What the cells share: where a row's numbers lie, and the tiles of a step. */
#ifndef FASTRNN_CELL_H
#define FASTRNN_CELL_H

#include "product.h"
#include "vmath.h"

INLINE fr_index share_count(fr_share share, fr_index active) {
    return active <= share.first ? 0 : (active - share.first + share.stride - 1) / share.stride;
}

INLINE fr_index share_row(fr_share share, fr_index i) { return share.first + i * share.stride; }

INLINE fr_index round_up(fr_index n) { return (n + VL - 1) / VL * VL; }

/* Panels of a gated cell, VL hidden units each. */
INLINE fr_index hidden_panels(const fr_cell *m) { return m->ld / VL; }

/* Panels of plain columns, four vectors each, and the vectors that panel p of them has. */
INLINE fr_index plain_panels(const fr_cell *m) { return (m->ld + PANEL - 1) / PANEL; }
INLINE fr_index plain_width(const fr_cell *m, fr_index panel) {
    return min_index(4, m->ld / VL - panel * 4);
}

INLINE real *view_at(fr_view view, fr_index row, fr_index s) {
    return (real *)view.row[row] + s * view.step;
}

/* The slot of a state that step s reads; its rows are ld apart. Made once a step: the division is
 * dear in the loop over rows. */
INLINE real *slot_at(const fr_cell *m, void *state, fr_index slots, fr_index s) {
    return (real *)state + (s % slots) * m->schedule.rows * m->ld;
}
INLINE real *h_at(const fr_cell *m, fr_index s) { return slot_at(m, m->h, m->h_slots, s); }
INLINE real *c_at(const fr_cell *m, fr_index s) { return slot_at(m, m->c, m->c_slots, s); }

INLINE real *tape_at(const fr_cell *m, fr_index panel, fr_index s, fr_index row) {
    return (real *)m->gates +
           (panel * m->tape_rows + m->schedule.offset[s] + row) * PANEL;
}

INLINE fr_index chunk_number(const fr_cell_backward *m, fr_index s, fr_index row) {
    return m->cell.schedule.offset[s] - m->chunk_first + row;
}

INLINE real *dgates_at(const fr_cell_backward *m, fr_index panel, fr_index number) {
    return (real *)m->dgates + (panel * m->chunk_rows + number) * PANEL;
}

/* One tile of a step. Its lines are several rows by one panel or, where the share has only one row,
 * that row by two neighbouring panels (one where there is no full second). */
typedef struct {
    fr_index height;
    fr_index row[TILE_ROWS], panel[TILE_ROWS];
    fr_index number[TILE_ROWS]; /* of the row in the share */
    const real *x[TILE_ROWS], *h[TILE_ROWS];
    fr_index next_panel, next_number;
} step_tile;

/* Moves on to the next tile, panel by panel; 0 after the last. `full` panels have all vectors. */
INLINE int next_tile(const fr_cell *m, fr_share share, fr_index s, const real *h_prev,
                     fr_index panels, fr_index full, step_tile *t) {
    const fr_index count = share_count(share, m->schedule.active[s]);
    const fr_index panel = t->next_panel, first = t->next_number;
    if (count == 0 || panel == panels) return 0;
    const fr_index pair = count == 1 && panel + 1 < full;
    t->height = pair ? 2 : tile_height(first, count);
    for (fr_index i = 0; i < t->height; i++) {
        t->number[i] = pair ? 0 : first + i;
        t->panel[i] = pair ? panel + i : panel;
        t->row[i] = share_row(share, t->number[i]);
        t->x[i] = view_at(m->x, t->row[i], s);
        t->h[i] = h_prev + t->row[i] * m->ld;
    }
    t->next_number = t->number[t->height - 1] + 1;
    t->next_panel = t->panel[t->height - 1];
    if (t->next_number == count) {
        t->next_number = 0;
        t->next_panel++;
    }
    return 1;
}

/* acc += a W for `width` vectors of the tile's panels of W, packed (depth, `stored` a panel). */
INLINE void tile_product(const step_tile *t, const real *const *a, fr_index depth, const void *w,
                         fr_index stored, fr_index width, real *acc) {
    const tile_shape shape = {1, depth, 1, 0, stored};
    const fr_index panel_size = depth * stored * VL;
    const real *b = (const real *)w + t->panel[0] * panel_size;
    if (t->panel[t->height - 1] != t->panel[0])
        single_row(2, width, &shape, acc, a[0], b, panel_size);
    else
        tile(t->height, width, &shape, acc, a, b);
}

/* acc = projected where x was projected before the loop, else bias + x Wx, for the first `width`
 * vectors of each line. Wx, bias and projected have `stored` vectors a panel. */
INLINE void input_tile(const fr_cell *m, const step_tile *t, fr_index panels, fr_index stored,
                       fr_index width, const real *projected, real *acc) {
    const fr_index panel_size = stored * VL;
    for (fr_index i = 0; i < t->height; i++) {
        const real *init = projected ? projected + t->number[i] * panels * panel_size : m->bias;
        for (fr_index v = 0; v < width; v++)
            store(acc + i * PANEL + v * VL, load(init + t->panel[i] * panel_size + v * VL));
    }
    if (!projected) tile_product(t, t->x, m->input, m->wx, stored, width, acc);
}

/* acc += h Wh for the first `width` vectors of each line. */
INLINE void hidden_tile(const fr_cell *m, const step_tile *t, fr_index stored, fr_index width,
                        real *acc) {
    tile_product(t, t->h, m->hidden, m->wh, stored, width, acc);
}

/* Rows that one call of product takes, so that each panel of weights is read once for many rows. */
#define ROW_GROUP 96

/* out[row] (+)= dgates W^T for the share's rows of step s: the backward of h W. Vectors
 * `first` .. first+width-1 of every panel of dgates take part. */
static void through_hidden(const fr_cell_backward *m, fr_share share, fr_index s, fr_index panels,
                           fr_index first, fr_index width, const void *w_t, real *out,
                           int accumulate) {
    const fr_index count = share_count(share, m->cell.schedule.active[s]);
    const fr_index depth = width * VL, ld = m->cell.ld;
    fr_product p = {.blocks = panels,
                    .depth = depth,
                    .a_step = 1,
                    .a_block = m->chunk_rows * PANEL,
                    .b = w_t,
                    .b_step = 4,
                    .b_panel = panels * depth * PANEL,
                    .width = 4,
                    .columns = ld,
                    .accumulate = accumulate};
    void *a[ROW_GROUP], *c[ROW_GROUP];
    p.a = a;
    p.c = c;
    for (fr_index at = 0; at < count; at += ROW_GROUP) {
        const fr_index height = min_index(ROW_GROUP, count - at);
        for (fr_index i = 0; i < height; i++) {
            const fr_index row = share_row(share, at + i);
            a[i] = dgates_at(m, 0, chunk_number(m, s, row)) + first * VL;
            c[i] = out + row * ld;
        }
        product(&p, 0, height);
    }
}

/* Copies one row into vectors `first` .. of the operand of the weight gradient. */
INLINE void operand_row(const fr_cell_backward *m, fr_index first, fr_index number,
                        const real *from, fr_index size) {
    for (fr_index i = 0; i < size; i += VL)
        store((real *)m->operand + ((first + i / VL) * m->chunk_rows + number) * VL,
              load_part(from + i, size - i));
}

/* The x and h that made step s, beside the dgates that step s has just left. */
static void operand_step(const fr_cell_backward *m, fr_share share, fr_index s) {
    const fr_cell *cell = &m->cell;
    const fr_index count = share_count(share, cell->schedule.active[s]);
    const fr_index first_h = round_up(cell->input) / VL;
    const real *h_prev = h_at(cell, s);
    for (fr_index i = 0; i < count; i++) {
        const fr_index row = share_row(share, i), number = chunk_number(m, s, row);
        operand_row(m, 0, number, view_at(cell->x, row, s), cell->input);
        operand_row(m, first_h, number, h_prev + row * cell->ld, cell->hidden);
    }
}

/* dy of a row's vector of hidden units; zeros where there is no dy. */
INLINE vec upstream(const fr_cell_backward *m, fr_index row, fr_index s, fr_index unit) {
    if (!m->dy.row) return (vec){0};
    return load_part(view_at(m->dy, row, s) + unit, m->cell.hidden - unit);
}

/* work += v W for `width` vectors of columns from j on; see add_row_product. Returns the next j. */
INLINE fr_index add_strips(const int width, fr_index j, real *work, const real *v, fr_index depth,
                           const real *w, fr_index columns, fr_index w_step) {
    for (; j + width * VL <= columns; j += width * VL) {
        vec sum[16];
#pragma GCC unroll 16
        for (int i = 0; i < width; i++) sum[i] = load(work + j + i * VL);
        for (fr_index k = 0; k < depth; k++) {
            const vec factor = broadcast(v[k]);
#pragma GCC unroll 16
            for (int i = 0; i < width; i++) sum[i] += factor * load(w + k * w_step + j + i * VL);
        }
#pragma GCC unroll 16
        for (int i = 0; i < width; i++) store(work + j + i * VL, sum[i]);
    }
    return j;
}

/* work += v W for one row v and W (depth, columns) as it lies, its rows w_step apart: strips of
 * columns as wide as the registers allow, since each row of a strip is a jump in memory. */
static void add_row_product(real *work, const real *v, fr_index depth, const real *w,
                            fr_index columns, fr_index w_step) {
    fr_index j = 0;
#if FR_VECTOR_BYTES == 64
    j = add_strips(16, j, work, v, depth, w, columns, w_step);
#endif
    j = add_strips(8, j, work, v, depth, w, columns, w_step);
    j = add_strips(4, j, work, v, depth, w, columns, w_step);
    j = add_strips(2, j, work, v, depth, w, columns, w_step);
    j = add_strips(1, j, work, v, depth, w, columns, w_step);
    if (j == columns) return;
    const fr_index n = columns - j;
    vec sum = load_part(work + j, n);
    for (fr_index k = 0; k < depth; k++)
        sum += broadcast(v[k]) * load_part(w + k * w_step + j, n);
    store_part(work + j, sum, n);
}

#endif
