/* The C side of fastrnn: what a translation unit of one instruction set and real type exports.
 *
 * C does one step of a cell for some rows of the batch; the time loops and threads are Cython's.
 * Every `void *` points to numbers of the table's own real type, sizes and steps count elements.
 *
 * Words used throughout:
 *   VL      real numbers in a vector; `lanes` in the table.
 *   panel   columns that belong together: up to four vectors of VL columns.
 *   packed  a matrix (K, columns) laid out [panel][k][vector][VL]. Where fewer than VL columns are
 *           left for a vector of the last panel, the next one follows them without a gap, so that
 *           the multiply-adds end with the columns; zeros fill the rest.
 *   strip   the vectors of a panel that a tile computes together: two of four with 16 registers,
 *           else all.
 *   row     a sequence of the batch; rows are sorted by falling length, so that the rows still
 *           running at any step come first.
 *   step    a sequence's own step, counted from where its direction begins.
 */
#pragma once

#include <stddef.h>

#include "barrier.h"
#include "program.h"

#if defined(__GNUC__)
#define FR_HIDDEN __attribute__((visibility("hidden")))
#else
#define FR_HIDDEN
#endif

/* One thread's share of a step: rows first, first + stride, ... below `last` (neighbours, or where
 * their lengths fall round-robin, so that these spread evenly) and, of each, vectors begin .. end-1
 * of the hidden units; begin is a multiple of 4. Either a thread has rows of its own, or it is one
 * of `threads` that share the rows, have their own vectors and meet at the barrier, else NULL. */
typedef struct {
    fr_index first, stride, last;
    fr_index begin, end;
    fr_barrier *barrier;
    int threads, spin_limit;
    void *work; /* scratch memory of the thread: program_work bytes for a cell that is a program,
                   fr_int8_work for one with weights of 8 bits */
} fr_share;

/* Which rows run at which step. */
typedef struct {
    fr_index rows, steps;
    const fr_index *batch_sizes; /* [steps] rows 0 .. batch_sizes[s]-1 have a step s */
    const fr_index *offset;      /* [steps + 1] sum of the batch_sizes before s: the number of
                                    (s, row 0) among all steps that exist */
} fr_batch;

/* A caller's (N, T, width) array in processing order: step s of row r begins at row[r] + s*step. */
typedef struct {
    void *const *row;
    fr_index step;
} fr_view;

/* Which columns of a plain matrix the vectors of panels hold: vector v of panel p has columns
 * start[v] + p*advance onwards, at most VL, as far as limit[v]. Where gates have panels of their
 * own, there are `group` of them for a gate, and all columns of gate g lie g*apart farther than
 * those of gate 0. */
typedef struct {
    fr_index first, panels; /* the number of the first one, and how many */
    fr_index width;         /* vectors of a panel, 1 to 4 */
    fr_index advance, group, apart;
    fr_index start[4], limit[4];
} fr_layout;

/* How products are cut for the caches of a processor; see runtime/cpu.pyx. */
typedef struct {
    fr_index depth; /* of a block of a panel, which some rows meet before the next block */
    fr_index rows;  /* so many, at most FR_MOST_ROWS */
    fr_index near;  /* steps of k by which a tile fetches its panel ahead; 0: it does not */
    int fetch;      /* whether the last tile of some rows fetches the next block instead */
} fr_plan;

enum { FR_MOST_ROWS = 96 };

/* Terms of a sum that are added one to another. What is longer is summed in blocks of at most so
 * many, each by itself, and then the sums of the blocks: so its error grows like FR_SUM_BLOCK and
 * the number of blocks, not like its length. Unlike a plan this changes results, so it is the same
 * everywhere. */
enum { FR_SUM_BLOCK = 1024 };

/* What weights are packed as: numbers of the table's real type or, in the float32 table alone, of
 * fewer bits.
 *   FR_BFLOAT16  two neighbours of k in the place of a number, the first in its low half; the
 *                products are those of the numbers as float32.
 *   FR_INT8      four of them, see fr_int8_kernels; the rows that they meet are quantized, too. */
enum { FR_REAL, FR_BFLOAT16, FR_INT8 };

/* Places of a packed column of so many numbers. */
static inline fr_index fr_elements(int format, fr_index depth) {
    return format == FR_REAL ? depth : format == FR_BFLOAT16 ? (depth + 1) / 2 : (depth + 3) / 4;
}

/* --- products of 8-bit integers --------------------------------------------------------------
 * A row x is x_scale times integers from -127 to 127, x_scale being its largest magnitude / 127; a
 * column of W is w_scale times such integers. Their products are summed exactly, in 32 bits, so all
 * ways to do so give the same bits:  x W = sum * (x_scale * w_scale).
 * A row whose largest magnitude is below FR_INT8_LEAST counts as zeros, and one with a number that
 * is not finite makes NaN. */

#define FR_INT8_LEAST 0x1p-100f

/* to[r][v] = from[r][v] + x W for some rows and the first `width` vectors of one panel. */
typedef struct {
    fr_index rows, width, stored; /* vectors of the panel in memory */
    fr_index quads;               /* of k */
    const void *const *a;         /* rows, quantized */
    const float *row_scale;       /* of each row */
    const void *w;                /* [quad][vector][VL] */
    const float *scale;           /* of each column */
    const int32_t *start;         /* of each column: -128 times the sum of its integers */
    const float *const *from;
    float *const *to;
    const fr_index *from_at, *to_at;
} fr_int8_sum;

/* A way of an instruction set. */
typedef struct {
    const char *name, *isa; /* `isa`: the table whose panels it reads */
    fr_index number_bytes;  /* of a quantized row */
    void (*sum)(const fr_int8_sum *p);
    /* Writes `count` numbers, rounded up to whole vectors of the table. */
    void (*quantize)(const float *row, fr_index count, void *to, float *scale);
} fr_int8_kernels;

/* A packed matrix of such columns: all panels of quads; scale and start as packed rows. */
typedef struct {
    const void *data;
    const float *scale;
    const int32_t *start;
} fr_int8_matrix;

/* A product of them: A is quantized, and `row_scale` is that of each row. */
typedef struct {
    const fr_int8_kernels *kernels;
    const fr_int8_matrix *b;
    const float *row_scale;
} fr_int8_operands;

/* Bytes from one quantized row of so many numbers to the next: whole lines, of which few rows meet
 * in the same sets of a cache. */
static inline fr_index fr_int8_row_bytes(const fr_int8_kernels *k, fr_index count) {
    return (count * k->number_bytes + 63) / 64 * 64 + 64;
}

/* What a product does with C: overwrite it, go on from it, or add a sum of its own to it. */
enum { FR_OVERWRITE, FR_CONTINUE, FR_APART };

/* C[r] (+)= bias + A[r] B for rows given by pointers. Element k of block j of row r of A is
 * a[r][j*a_block + k*a_step]; the K of B counts through the blocks in order. */
typedef struct {
    const fr_plan *plan;
    fr_index blocks, depth;
    void *const *a;
    fr_index a_step, a_block;
    const void *b;
    fr_index b_step;     /* vectors from one k to the next */
    fr_index b_panel;    /* elements from one panel to the next */
    fr_layout layout;    /* which columns of C the vectors of a panel are */
    fr_index begin, end; /* panels that take part */
    const void *bias;    /* packed, or NULL */
    void *const *c;
    int accumulate; /* FR_OVERWRITE, FR_CONTINUE or FR_APART */
    int format;     /* of B; FR_INT8: see there, in the place of b */
    const fr_int8_operands *int8;
} fr_product;

/* A packed matrix. */
typedef struct {
    const void *data;
    fr_index depth;
} fr_matrix;

/* --- cells: forward -------------------------------------------------------------------------
 * The states, h first, live in slots [slots][rows][ld]: step s reads slot s % slots and writes
 * (s+1) % slots. Training keeps steps + 1 slots (the tape), inference 2, or 1 of a state that is
 * updated in place.
 * `ld`, from one row to the next, is at least VL * `vectors`, those of the hidden units.
 * `gates` is the tape of activated gates, [panel][tape_rows][4][VL], or NULL in inference; the
 * number of (s, r) in it is batch.offset[s] + r.
 * `acc_init`, where an argument, points for each row of the share to the initial values of its
 * sums, [panel][width][VL]: the bias, plus the products that were made ahead of the step; NULL: the
 * bias. */

typedef struct {
    const fr_plan *plan;
    fr_batch batch;
    fr_index input, hidden, vectors, ld;
    fr_index output; /* numbers of h: `hidden`, or fewer if it is projected */
    fr_view x, y;
    const void *wx, *wh, *bias; /* packed (D, ..), (H, ..), (..); wx NULL: x Wx is in acc_init */
    int format;                 /* of wx, wh and wh_n; FR_INT8: they are fr_int8_matrix */
    const fr_int8_kernels *int8;
    const void *bias_h; /* GRU with reset after: packed (H), else NULL */
    void *state[FR_MOST_STATES];
    fr_index slots[FR_MOST_STATES];
    void *gates;
    fr_index tape_rows;
    const void *wh_n;      /* GRU with reset before: the columns of n, packed as plain ones */
    void *reset_h;         /* GRU with reset before, scratch: r*h, [rows][ld] */
    void *pre_activations; /* GRU with reset before, scratch: b_n + x Wn, r, z,
                              [rows][panel][4][VL] */
    fr_index relu;         /* RNN */
    fr_index complement;   /* GRU: the weights are those of 1-z, as in textbooks */
    const void *drop_h;    /* factors of h where it meets Wh, [rows][ld], or NULL: none */
    void *dropped_h;       /* with them, scratch: drop_h*h, slots [2][rows][ld] */
    /* Cells that are programs: */
    const fr_program *program;
    const void *const *vector; /* weights of a number a unit, each [panel][4][VL] */
    const fr_matrix *matrix;   /* of its products; in the backward transposed */
    void *carried, *partial;   /* scratch: [carried][rows][ld], [partial][rows][panel][2] */
    void *row_tape;            /* [tape_rows][row_tape], or NULL in inference */
    const fr_view *mask;       /* bytes, or NULL in evaluation */
    fr_index unpacked; /* wx and wh are as they lie, row-major; `hidden` is a multiple of VL */
} fr_cell;

/* --- cells: backward ------------------------------------------------------------------------
 * Walks a chunk of steps from the last to the first. dgates is [panel][chunk_rows][4][VL], the
 * number of (s, r) in it batch.offset[s] - chunk_first + r. Where the last panel has n < VL
 * hidden units, its gates lie n apart, as in packed weights, and what follows is arbitrary.
 * The dstates (rows, ld) come in as the gradients of each row's states after step s and leave as
 * those of the states before it. The chunk of a program is [gate][panel][chunk_rows][4][VL]. */

typedef struct {
    fr_cell cell;
    fr_view dy;
    const void *wh_t;   /* transposed, packed (panels*width*VL, H): see pack_nt */
    const void *wh_n_t; /* GRU with reset before */
    void *dstate[FR_MOST_STATES];
    void *dgates;
    fr_index chunk_first, chunk_rows;
    void *operand;  /* [vector][chunk_rows][VL]: what dgates meet in dW, that is x, h and, for a
                       GRU with reset before, r*h, each beginning a vector of its own */
    void *dreset_h; /* GRU, scratch, [rows][ld]: with reset before d(r*h), and then, as with
                       reset after, d(drop_h*h) where there is dropout */
} fr_cell_backward;

/* --- cells: one step of one row --------------------------------------------------------------
 * On weights as they lie, (D, G*H) and (H, G*H) row-major. order[g] is where gate g of the cell, i,
 * f, g, o or r, z, n, lies among the columns; n is always the last one there. */

typedef struct {
    fr_index input, hidden;
    const void *x, *h, *c;
    const void *wx, *wh, *b;
    const void *bh; /* GRU with reset after, else NULL */
    const fr_index *order;
    fr_index relu, complement; /* see fr_cell */
    void *work;                /* scratch: work_per_unit * hidden numbers */
    void *h_next, *c_next;
} fr_cell_single;

/* --- attention ------------------------------------------------------------------------------
 * One sequence: scores (Tq, Tk) of which the first `keys` columns exist. */

typedef struct {
    fr_index queries, keys, tk; /* Tq, valid keys, row length of the scores */
    fr_index size;              /* A */
    const void *q, *k, *v;      /* projected queries (Tq, A), projected keys (Tk, A), v (A) */
    void *score;                /* (Tq, tk) */
    const void *dscore;         /* (Tq, tk) */
    void *dq, *dk, *dv;         /* as q, k, v */
} fr_additive;

/* --- decoding -------------------------------------------------------------------------------
 * A draw from softmax(logits / temperature), of which the `top_k` likeliest tokens stay (0: all),
 * then the fewest whose probabilities sum to at least `top_p` (0: all). u in [0, 1) is the uniform
 * random number. */
typedef struct {
    double temperature, top_p, u;
    fr_index top_k;
} fr_draw;

/* --- optimizers -----------------------------------------------------------------------------
 * One pass over arrays of `count` numbers: the parameter, its gradient, then its moments; all but
 * the gradient are written. Each update reads those of the options that it knows. */
typedef struct {
    double lr, momentum, rho, beta1, beta2, eps;
    double root_scale, keep; /* Adam: see there */
} fr_update_options;

typedef void fr_update(void *const *arrays, fr_index count, const fr_update_options *options);

/* dst = the layout's columns of a matrix of so many rows, packed, or the transpose of them. */
typedef void fr_pack(void *dst, const void *src, fr_index rows, fr_index row_step,
                     const fr_layout *layout);

/* dst = a function of dst and src, number by number. */
typedef void fr_rows(void *dst, const void *src, fr_index count);

/* Bytes of a thread's scratch memory for quantized x and h: the scales of both, then the rows of x,
 * then those of h. */
static inline fr_index fr_int8_scale_bytes(fr_index rows) {
    return (2 * rows * (fr_index)sizeof(float) + 63) / 64 * 64;
}
static inline fr_index fr_int8_work(const fr_cell *m) {
    const fr_index bytes =
        fr_int8_row_bytes(m->int8, m->input) + fr_int8_row_bytes(m->int8, m->hidden);
    return fr_int8_scale_bytes(m->batch.rows) + m->batch.rows * bytes;
}

typedef void fr_step(const fr_cell *m, fr_share share, fr_index s, const void *const *acc_init);
typedef void fr_backward_step(const fr_cell_backward *m, fr_share share, fr_index s);
typedef void fr_single(const fr_cell_single *m);

typedef struct {
    const char *name;
    fr_step *step;
    fr_backward_step *backward_step;
    fr_single *single;
    fr_index work_per_unit; /* see fr_cell_single */
} fr_cell_kernels;

typedef struct {
    const char *isa;
    fr_index lanes, itemsize;

    /* First letter: the source as it lies (n) or transposed (t); second: so is the result. */
    fr_pack *pack_nn, *pack_nt;
    fr_pack *pack_tn, *pack_tt;
    void (*product)(const fr_product *p, fr_index row_begin, fr_index row_end);

    const fr_cell_kernels *cells;   /* those of cells.def, then one whose name is NULL */
    const fr_cell_kernels *program; /* of a cell that is data; it has no `single` */
    fr_index program_work;          /* bytes, see fr_share */
    const char *const *op_names;    /* those of fr_op in program.def, then NULL */

    void (*softmax)(void *row, fr_index count);
    void (*softmax_backward)(void *drow, const void *row, fr_index count);
    double (*cross_entropy)(const void *logits, fr_index count, fr_index target, double scale,
                            double smoothing, void *dlogits);
    /* log(sum e^(row - max)) and the largest number, apart: their sum may be the latter alone. */
    double (*log_sum_exp)(const void *row, fr_index count, double *max);
    /* The places of the `wanted` largest numbers, the largest first; returns how many there are. */
    fr_index (*largest)(const void *row, fr_index count, fr_index wanted, fr_index *place);
    /* A token; `work` holds `count` fr_index, then `count` real numbers. */
    fr_index (*draw)(const void *logits, fr_index count, const fr_draw *how, void *work);
    /* c[i][j] = a[i] . b[j] for rows of `depth` numbers that lie *_step elements apart. */
    void (*row_products)(void *c, fr_index c_step, const void *a, fr_index a_rows, fr_index a_step,
                         const void *b, fr_index b_rows, fr_index b_step, fr_index depth);
    void (*additive_scores)(const fr_additive *a);
    void (*additive_backward)(const fr_additive *a);

    fr_rows *exp, *sigmoid; /* for tests */
    fr_rows *tanh;
    fr_rows *tanh_backward; /* dst, the gradient of src = tanh(a), becomes that of a */

    fr_rows *add_rows;
    fr_rows *multiply_rows;
    void (*dropout)(void *dst, const void *src, const unsigned char *keep, double scale,
                    fr_index count);
    double (*squared_norm)(const void *src, fr_index count);
    void (*scale)(void *dst, fr_index count, double factor); /* dst *= factor */

    fr_update *sgd, *momentum, *adagrad, *rmsprop, *adam;
} fr_kernels;

/* NULL where the instruction set was not built. One per instruction set and real type. */
FR_HIDDEN const fr_kernels *fr_find(const char *isa, int real_bytes);
