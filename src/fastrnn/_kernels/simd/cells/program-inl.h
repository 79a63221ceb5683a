/* One step, forward or backward, of a cell that is a program (program.h), for a share of rows. */
#pragma once

#include "../product-inl.h"
#include "../vec-inl.h"
#include "../vmath-inl.h"
#include "cell-inl.h"
#include "cell_backward-inl.h"
#include "rnn-inl.h"

/* A line is a row's panel. Lines of a block, over which one instruction runs at a time; numbers
 * that a block may have; and lines times sums of a piece, at most. */
#define BLOCK_LINES 8
#define BLOCK (BLOCK_LINES * PANEL)
#define PIECE_LINES (4 * FR_MOST_ROWS)

/* Where the numbers of one place lie: those of a panel of a row, four vectors side by side, at
 * start + panel*panel_step + row*row_step. */
typedef struct {
    real *start;
    fr_index panel_step, row_step;
} place;

/* An operand for the lines of a block: vector v of line i lies at start + i*line_step +
 * v*vector_step. */
typedef struct {
    real *start;
    fr_index line_step, vector_step;
} operand;

/* What a step runs on, and its own memory. */
typedef struct {
    const fr_cell *m;
    const fr_cell_backward *b; /* NULL: forward */
    const fr_code *code;
    fr_share share;
    fr_index s;
    const void *const *acc_init;
    place places[FR_MOST_PLACES];
    operand value[FR_MOST_VALUES];
    real constants[FR_MOST_CONSTANTS][VL] ALIGNED;
    real registers[FR_MOST_REGISTERS][BLOCK] ALIGNED;
    real sums[PIECE_LINES * PANEL] ALIGNED; /* [sum][line of the piece][4][VL] */
} run;

/* Some lines of a phase: a panel of several rows, or panels of a single one. */
typedef struct {
    fr_index first, height; /* of its first row in the share; lines */
    fr_index panel, across; /* of line 0; whether the panels of a row follow each other */
    fr_index units;         /* hidden units of the phase */
    fr_index row[FR_MOST_ROWS];
    real row_values[FR_MOST_ROW_VALUES][FR_MOST_ROWS][VL] ALIGNED;
} piece;

INLINE fr_index panel_of(const piece *t, fr_index line) { return t->panel + line * t->across; }

/* Hidden units from the first one of a line's panel on. */
INLINE fr_index units_from(const piece *t, fr_index line) {
    return t->units - panel_of(t, line) * PANEL;
}

static place place_at(const run *r, fr_place what) {
    const fr_cell *m = r->m;
    const fr_cell_backward *b = r->b;
    const fr_index i = what.index;
    switch (what.kind) {
        case FR_STATE: return (place){slot_at(m, m->state[i], m->slots[i], r->s), PANEL, m->ld};
        case FR_NEXT: return (place){slot_at(m, m->state[i], m->slots[i], r->s + 1), PANEL, m->ld};
        case FR_VECTOR: return (place){(real *)m->vector[i], PANEL, 0};
        case FR_CARRIED:
            return (place){(real *)m->carried + i * m->batch.rows * m->ld, PANEL, m->ld};
        case FR_DSTATE: return (place){(real *)b->dstate[i], PANEL, m->ld};
        case FR_TAPE: {
            const fr_index size = m->program->tape * PANEL;
            real *start = (real *)m->gates + m->batch.offset[r->s] * size + i * PANEL;
            return (place){start, m->tape_rows * size, size};
        }
        default: { /* FR_DSUM */
            const fr_index number = m->batch.offset[r->s] - b->chunk_first;
            real *start = dgates_at(b, i * panels_of(m->hidden), number);
            return (place){start, b->chunk_rows * PANEL, PANEL};
        }
    }
}

/* --- instructions ---------------------------------------------------------------------------- */

#define FR_OP(name, result)                                                             \
    static void op_##name(operand to, operand a, operand b, operand c, fr_index lines,  \
                          real k) {                                                     \
        (void)k;                                                                        \
        for (fr_index i = 0; i < lines; i++) {                                          \
            _Pragma("GCC unroll 4") for (fr_index v = 0; v < 4; v++) {                  \
                const vec x = load(a.start + v * a.vector_step);                        \
                const vec y = load(b.start + v * b.vector_step);                        \
                const vec z = load(c.start + v * c.vector_step);                        \
                (void)x, (void)y, (void)z;                                              \
                store(to.start + v * VL, result);                                       \
            }                                                                           \
            to.start += to.line_step;                                                   \
            a.start += a.line_step;                                                     \
            b.start += b.line_step;                                                     \
            c.start += c.line_step;                                                     \
        }                                                                               \
    }
#include "program.def"
#undef FR_OP

typedef void operation(operand, operand, operand, operand, fr_index, real);
#define FR_OP(name, result) op_##name,
static operation *const operations[] = {
#include "program.def"
};
#undef FR_OP

/* What follows works on lines first .. first+lines-1 of a piece. */

/* The new h, to the slots that the next step reads and to y. */
static void put_h_block(const run *r, const piece *t, fr_index first, fr_index lines, operand x) {
    real *h_next = h_at(r->m, r->s + 1);
    for (fr_index i = first; i < first + lines; i++, x.start += x.line_step) {
        const fr_index row = t->row[i], left = units_from(t, i);
        for (fr_index v = 0; v < 4; v++) {
            const fr_index unit = panel_of(t, i) * PANEL + v * VL, at = row * r->m->ld + unit;
            const vec h = load(x.start + v * x.vector_step);
            store(h_next + at, h);
            if (r->m->drop_h)
                store(slot_at(r->m, r->m->dropped_h, 2, r->s + 1) + at, drop_h(r->m, h, at));
            if (v * VL < left) store_part(view_at(r->m->y, row, r->s) + unit, h, left - v * VL);
        }
    }
}

static void load_dh_block(const run *r, const piece *t, fr_index first, fr_index lines,
                          operand to) {
    for (fr_index i = first; i < first + lines; i++, to.start += to.line_step) {
        const fr_index row = t->row[i], unit = panel_of(t, i) * PANEL, left = units_from(t, i);
        const real *dh = (const real *)r->b->dstate[0] + row * r->m->ld + unit;
        const real *dy = view_at(r->b->dy, row, r->s) + unit;
        for (fr_index v = 0; v < 4; v++) {
            const vec d = load(dh + v * VL);
            store(to.start + v * VL,
                  v * VL < left ? d + load_part(dy + v * VL, left - v * VL) : (vec){0});
        }
    }
}

static void keep_block(const run *r, const piece *t, fr_index first, fr_index lines,
                       const fr_instruction *c, operand x, operand to) {
    for (fr_index i = first; i < first + lines; i++) {
        const fr_index unit = panel_of(t, i) * PANEL, n = min_index(PANEL, units_from(t, i));
        for (fr_index v = 0; v < 4; v++)
            store(to.start + v * VL, load(x.start + v * x.vector_step));
        if (r->m->mask) {
            const fr_view *mask = r->m->mask + c->y;
            const unsigned char *keep =
                (const unsigned char *)mask->row[t->row[i]] + r->s * mask->step + unit;
            for (fr_index j = 0; j < n; j++) to.start[j] *= (real)keep[j];
        } else {
            for (fr_index j = 0; j < n; j++) to.start[j] *= (real)c->number;
        }
        x.start += x.line_step;
        to.start += to.line_step;
    }
}

/* The sum of a row over the units of a panel and, if wanted (z), that of the squares of their
 * deviations from its mean (Chan et al. 1979): the parts of a sum over all units, which every
 * thread adds up in the same order. */
static void add_up_block(const run *r, const piece *t, fr_index first, fr_index lines,
                         const fr_instruction *c, operand x) {
    const fr_index panels = panels_of(r->m->hidden);
    real *partial = (real *)r->m->partial + c->y * r->m->batch.rows * panels * 2;
    for (fr_index i = first; i < first + lines; i++, x.start += x.line_step) {
        const fr_index n = min_index(PANEL, units_from(t, i));
        real *out = partial + (t->row[i] * panels + panel_of(t, i)) * 2;
        vec value[4], sum = {0}, squares = {0};
        for (fr_index v = 0; v < 4; v++) {
            value[v] = load(x.start + v * x.vector_step);
            if (v * VL < n) sum += n == PANEL ? value[v] : first_lanes(value[v], n - v * VL);
        }
        out[0] = sum_halves(sum);
        if (!c->z) continue;
        const real mean = out[0] / (real)n;
        for (fr_index v = 0; v * VL < n; v++) {
            const vec d = value[v] - mean;
            squares += n == PANEL ? d * d : first_lanes(d * d, n - v * VL);
        }
        out[1] = sum_halves(squares);
    }
}

/* What meets the gradient of a product, where the weight gradients look for it. */
static void operand_block(const run *r, const piece *t, fr_index first, fr_index lines,
                          const fr_instruction *c, operand x) {
    const fr_cell *m = r->m;
    const fr_index begin = vectors_of(m->input) + (1 + c->y) * m->vectors;
    for (fr_index i = first; i < first + lines; i++, x.start += x.line_step) {
        const fr_index number = chunk_number(r->b, r->s, t->row[i]), left = units_from(t, i);
        for (fr_index v = 0; v < 4 && v * VL < left; v++)
            store(operand_at(r->b, begin + panel_of(t, i) * 4 + v, number),
                  load(x.start + v * x.vector_step));
    }
}

/* The instructions of a phase for some lines of a piece. */
static void run_block(const run *r, const fr_phase *phase, const piece *t, fr_index first,
                      fr_index lines) {
    const fr_instruction *end = r->code->code + phase->code_end;
    for (const fr_instruction *c = r->code->code + phase->code; c < end; c++) {
        const operand to = r->value[c->to], x = r->value[c->x];
        switch (c->op) {
            case FR_OP_put_h: put_h_block(r, t, first, lines, x); break;
            case FR_OP_load_dh: load_dh_block(r, t, first, lines, to); break;
            case FR_OP_keep: keep_block(r, t, first, lines, c, x, to); break;
            case FR_OP_add_up: add_up_block(r, t, first, lines, c, x); break;
            case FR_OP_operand: operand_block(r, t, first, lines, c, x); break;
            default:
                operations[c->op](to, x, r->value[c->y], r->value[c->z], lines, (real)c->number);
        }
    }
}

/* All blocks of a piece, whose sums have been made. */
static void run_piece(run *r, const fr_phase *phase, const piece *t) {
    for (fr_index first = 0; first < t->height; first += BLOCK_LINES) {
        for (fr_index i = 0; i < r->code->place_count; i++) {
            const place *p = r->places + i;
            const fr_index step = t->across ? p->panel_step : p->row_step * r->share.stride;
            real *at = p->start + panel_of(t, first) * p->panel_step + t->row[first] * p->row_step;
            r->value[FR_FIRST_PLACE + i] = (operand){at, step, VL};
        }
        for (fr_index i = 0; i < phase->sums_end - phase->sums; i++)
            r->value[FR_FIRST_SUM + i] =
                (operand){r->sums + (i * t->height + first) * PANEL, PANEL, VL};
        for (fr_index i = 0; i < phase->row_values_end - phase->row_values; i++)
            r->value[FR_FIRST_ROW_VALUE + i] =
                (operand){(real *)t->row_values[i][t->across ? 0 : first], t->across ? 0 : VL, 0};
        run_block(r, phase, t, first, min_index(BLOCK_LINES, t->height - first));
    }
}

/* --- row values ------------------------------------------------------------------------------ */

/* A row value, from the parts of all panels or from the tape. */
static real row_value(const run *r, const fr_row_value *value, fr_index row) {
    const fr_cell *m = r->m;
    const fr_index panels = panels_of(m->hidden), H = m->hidden;
    real *saved = (real *)m->row_tape;
    if (saved) saved += (m->batch.offset[r->s] + row) * m->program->row_tape + value->saved;
    if (value->partial < 0) return *saved;
    const real *part =
        (const real *)m->partial + (value->partial * m->batch.rows + row) * panels * 2;
    real sum = 0, squares = 0;
    for (fr_index p = 0; p < panels; p++) sum += part[2 * p];
    const real mean = sum / (real)H;
    for (fr_index p = 0; value->rstd && p < panels; p++) {
        const real n = (real)min_index(PANEL, H - p * PANEL), d = part[2 * p] / n - mean;
        squares += part[2 * p + 1] + n * d * d;
    }
    const real result = value->rstd ? 1 / sqrt(squares / (real)H + (real)value->eps) : mean;
    if (saved && !r->b && value->saved >= 0 && r->share.begin == 0) *saved = result;
    return result;
}

static void find_row_values(const run *r, const fr_phase *phase, piece *t) {
    for (fr_index k = phase->row_values; k < phase->row_values_end; k++)
        for (fr_index i = 0; i < t->height; i++) {
            const real found = row_value(r, r->code->row_values + k, t->row[i]);
            store(t->row_values[k - phase->row_values][i], broadcast(found));
        }
}

/* --- sums ------------------------------------------------------------------------------------ */

/* v W for a panel of one of the gates of W, which is packed or as it lies. */
INLINE term gate_term(const fr_cell *m, fr_index gate, fr_index panel, const real *const *v,
                      fr_index depth, const void *w, fr_index gates) {
    if (!m->unpacked) return panel_term(gate * panels_of(m->hidden) + panel, v, depth, w, 4);
    const real *from = (const real *)w + gate * m->hidden + panel * PANEL;
    return (term){v, 1, depth, 1, 0, from, gates * vectors_of(m->hidden), PANEL, NULL};
}

/* A sum for lines first .. first+height-1 of a piece, which are rows of one panel. */
static void program_sum(const run *r, const fr_sum *sum, const piece *t, fr_index first,
                        fr_index height, real *lines) {
    static const real zeros[PANEL];
    const fr_cell *m = r->m;
    const fr_index panel = panel_of(t, first);
    const fr_index x_panel = sum->x * panels_of(m->hidden) + panel;
    const fr_index width = min_index(4, vectors_of(units_from(t, first)));
    const real *x[FR_MOST_ROWS], *h[FR_MOST_ROWS], *v[FR_MOST_ROWS], *from[FR_MOST_ROWS];
    real *to[FR_MOST_ROWS];
    const real *h_dropped = sum->h >= 0 ? h_dropped_at(m, r->s) : NULL;
    term terms[2];
    fr_index count = 0;
    for (fr_index i = 0; i < height; i++) {
        const fr_index row = t->row[first + i];
        to[i] = lines + i * PANEL;
        from[i] = zeros;
        if (sum->x >= 0) {
            const fr_index number = t->first + (t->across ? 0 : first + i);
            from[i] = (const real *)(r->acc_init ? r->acc_init[number] : m->bias) + x_panel * PANEL;
            x[i] = view_at(m->x, row, r->s);
        }
        if (sum->h >= 0) h[i] = h_dropped + row * m->ld;
        if (sum->matrix >= 0)
            v[i] = (const real *)m->carried + (sum->operand * m->batch.rows + row) * m->ld;
        for (fr_index w = width; w < 4; w++) store(to[i] + w * VL, (vec){0});
    }
    if (sum->x >= 0 && m->wx)
        terms[count++] = gate_term(m, sum->x, panel, x, m->input, m->wx, m->program->x_gates);
    if (sum->h >= 0)
        terms[count++] = gate_term(m, sum->h, panel, h, m->output, m->wh, m->program->h_gates);
    if (sum->matrix >= 0) {
        const fr_matrix *matrix = m->matrix + sum->matrix;
        terms[count++] = panel_term(panel, v, matrix->depth, matrix->data, 4);
    }
    const panel_sum all = {terms, count, from, to, neighbours, neighbours, 0, FR_REAL};
    sum_panel(m->plan, &all, height, width);
}

/* All sums of a phase for a piece. */
static void make_sums(run *r, const fr_phase *phase, const piece *t) {
    const fr_index together = t->across ? 1 : t->height;
    real *lines = r->sums;
    for (fr_index j = phase->sums; j < phase->sums_end; j++)
        for (fr_index first = 0; first < t->height; first += together, lines += together * PANEL)
            program_sum(r, r->code->sums + j, t, first, together, lines);
}

/* --- phases ---------------------------------------------------------------------------------- */

/* The rows of a piece, and what is known of each. */
static void choose_rows(const run *r, const fr_phase *phase, piece *t, fr_index first,
                        fr_index height) {
    t->first = first;
    t->height = height;
    for (fr_index i = 0; i < height; i++) t->row[i] = share_row(r->share, first + i);
    find_row_values(r, phase, t);
}

/* Both, in the scratch memory of a thread: too large for the stack of a thread on every system. */
typedef struct {
    run r;
    piece t;
} program_memory;

/* The panels of a single row, some at a time: each is one line. */
static void run_across(run *r, const fr_phase *phase, piece *t, fr_index begin, fr_index end) {
    t->first = 0;
    t->across = 1;
    t->height = 1;
    for (fr_index i = 0; i < BLOCK_LINES; i++) t->row[i] = r->share.first;
    find_row_values(r, phase, t);
    for (fr_index panel = begin; panel < end; panel += BLOCK_LINES) {
        t->panel = panel;
        t->height = min_index(BLOCK_LINES, end - panel);
        make_sums(r, phase, t);
        run_piece(r, phase, t);
    }
}

/* The panels of several rows, panel by panel, so that weights are read for all rows while near. */
static void run_panels(run *r, const fr_phase *phase, piece *t, parts pieces, fr_index begin,
                       fr_index end) {
    for (fr_index panel = begin; panel < end; panel++)
        for (fr_index number = 0, first = 0; number < pieces.count; first += t->height, number++) {
            choose_rows(r, phase, t, first, part_size(&pieces, number));
            t->panel = panel;
            make_sums(r, phase, t);
            run_piece(r, phase, t);
        }
}

/* The panels of several rows in a phase without sums, rows first: their row values serve all. */
static void run_rows(run *r, const fr_phase *phase, piece *t, parts pieces, fr_index begin,
                     fr_index end) {
    for (fr_index number = 0, first = 0; number < pieces.count; first += t->height, number++) {
        choose_rows(r, phase, t, first, part_size(&pieces, number));
        for (t->panel = begin; t->panel < end; t->panel++) run_piece(r, phase, t);
    }
}

static void run_phase(run *r, const fr_phase *phase) {
    const fr_cell *m = r->m;
    const fr_share share = phase->narrow ? share_of_h(m, r->share) : r->share;
    const fr_index begin = share.begin / 4, end = (share.end + 3) / 4;
    const fr_index count = share_count(share, m->batch.batch_sizes[r->s]);
    const fr_index sums = phase->sums_end - phase->sums;
    const fr_index most = sums ? min_index(m->plan->rows, PIECE_LINES / sums) : BLOCK_LINES;
    piece *t = &((program_memory *)r)->t;
    t->units = phase->narrow ? m->output : m->hidden;
    t->across = 0;
    if (count == 1 && begin < end) run_across(r, phase, t, begin, end);
    if (count <= 1) return;
    if (sums)
        run_panels(r, phase, t, split_evenly(count, most), begin, end);
    else
        run_rows(r, phase, t, split_evenly(count, most), begin, end);
}

static run *begin_run(const fr_cell *m, const fr_cell_backward *b, const fr_code *code,
                      fr_share share, fr_index s, const void *const *acc_init) {
    run *r = &((program_memory *)share.work)->r;
    r->m = m;
    r->b = b;
    r->code = code;
    r->share = share;
    r->s = s;
    r->acc_init = acc_init;
    for (fr_index i = 0; i < code->place_count; i++) r->places[i] = place_at(r, code->places[i]);
    for (fr_index i = 0; i < code->constant_count; i++) {
        store(r->constants[i], broadcast((real)code->constants[i]));
        r->value[FR_FIRST_CONSTANT + i] = (operand){r->constants[i], 0, 0};
    }
    for (fr_index i = 0; i < code->register_count; i++)
        r->value[i] = (operand){r->registers[i], PANEL, VL};
    /* An operand that an instruction does not read may be any number: 0 is always a value. */
    r->value[0] = (operand){r->registers[0], PANEL, VL};
    return r;
}

static void run_code(run *r) {
    for (fr_index i = 0; i < r->code->phase_count; i++) {
        const fr_phase *phase = r->code->phases + i;
        if (phase->meet) barrier_wait(r->share);
        run_phase(r, phase);
    }
}

static void program_step(const fr_cell *m, fr_share share, fr_index s,
                         const void *const *acc_init) {
    const fr_code *code = m->gates ? &m->program->forward : &m->program->inference;
    run_code(begin_run(m, NULL, code, share, s, acc_init));
}

/* out (+)= the gradients of the sums that h met, times Wh^T: the gates of a run together, unless
 * their last panels are not full and stand apart. */
static void program_through_hidden(const fr_cell_backward *b, fr_share share, fr_index s, real *out,
                                   int accumulate) {
    const fr_program *program = b->cell.program;
    const fr_index panels = panels_of(b->cell.hidden), w_rows = program->h_gates * panels * PANEL;
    const fr_index full = b->cell.hidden / PANEL, left = b->cell.hidden % PANEL;
    for (fr_index i = 0; i < program->run_count; i++) {
        const fr_run *run = program->runs + i;
        const fr_index together = left ? 1 : run->gates;
        for (fr_index gate = 0; gate < run->gates; gate += together, accumulate = 1) {
            const fr_index panel = (run->chunk + gate) * panels;
            const real *w_t = (const real *)b->wh_t + (run->first + gate) * panels * PANEL * PANEL;
            if (full)
                through_weights(b, share, s, panel, 0, full * together, PANEL, w_t, w_rows, out,
                                accumulate);
            if (left)
                through_weights(b, share, s, panel + full, 0, 1, left, w_t + full * PANEL * PANEL,
                                w_rows, out, accumulate || full);
        }
    }
}

static void program_backward_step(const fr_cell_backward *b, fr_share share, fr_index s) {
    const fr_cell *m = &b->cell;
    run_code(begin_run(m, b, &m->program->backward, share, s, NULL));
    if (m->program->h_gates) {
        const fr_share of_h = share_of_h(m, share);
        barrier_wait(share);
        program_through_hidden(b, of_h, s, m->drop_h ? b->dreset_h : b->dstate[0], !m->drop_h);
        if (m->drop_h) through_dropout(b, of_h, s, b->dreset_h, 1);
    }
    operand_step(b, share, s);
}
