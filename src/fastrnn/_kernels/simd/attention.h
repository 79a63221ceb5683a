/* Scores of attention, a sequence at a time. */
#include "vmath.h"

/* Rows of a and of b whose products are summed at once: as many as registers hold. */
#define DOT_ROWS 4
#if FR_VECTOR_BYTES == 64
#define DOT_COLUMNS 4
#else
#define DOT_COLUMNS 2
#endif

typedef real quarter __attribute__((vector_size(16)));
typedef real half __attribute__((vector_size(32)));

/* The sum of all lanes, half on half: a chain of additions as short as it can be. */
INLINE real sum_halves(vec v) {
    quarter q[2] = {{0}};
#if FR_VECTOR_BYTES == 64
    half h[2];
    memcpy(h, &v, sizeof h);
    h[0] += h[1];
    memcpy(q, h, sizeof q);
#else
    memcpy(q, &v, sizeof v);
#endif
    q[0] += q[1];
    real sum = 0;
    for (fr_index i = 0; i < 16 / FR_REAL_BYTES; i++) sum += q[0][i];
    return sum;
}

/* c[i][j] = a[i] . b[j] for a few rows; neither side is packed, for each is read a few times only. */
INLINE void dot_block(const int rows, const int columns, real *c, fr_index c_step, const real *a,
                      fr_index a_step, const real *b, fr_index b_step, fr_index depth) {
    vec sum[DOT_ROWS][DOT_COLUMNS] = {0};
    for (fr_index d = 0; d < depth; d += VL) {
        vec column[DOT_COLUMNS];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) column[j] = load_part(b + j * b_step + d, depth - d);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const vec row = load_part(a + i * a_step + d, depth - d);
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += row * column[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) c[i * c_step + j] = sum_halves(sum[i][j]);
}

/* Some rows of c; the last columns one by one. */
INLINE void dot_strip(const int rows, real *c, fr_index c_step, const real *a, fr_index a_step,
                      const real *b, fr_index b_rows, fr_index b_step, fr_index depth) {
    fr_index j = 0;
    for (; j + DOT_COLUMNS <= b_rows; j += DOT_COLUMNS)
        dot_block(rows, DOT_COLUMNS, c + j, c_step, a, a_step, b + j * b_step, b_step, depth);
    for (; j < b_rows; j++)
        dot_block(rows, 1, c + j, c_step, a, a_step, b + j * b_step, b_step, depth);
}

static void row_products(void *c, fr_index c_step, const void *a, fr_index a_rows,
                         fr_index a_step, const void *b, fr_index b_rows, fr_index b_step,
                         fr_index depth) {
    real *out = c;
    const real *row = a;
    fr_index i = 0;
    for (; i + DOT_ROWS <= a_rows; i += DOT_ROWS)
        dot_strip(DOT_ROWS, out + i * c_step, c_step, row + i * a_step, a_step, b, b_rows, b_step,
                  depth);
    for (; i < a_rows; i++)
        dot_strip(1, out + i * c_step, c_step, row + i * a_step, a_step, b, b_rows, b_step, depth);
}

/* The additive score (Bahdanau et al. 2015, A.1.2) of one sequence.
 *
 *   score[i][j] = sum over a of v[a] * tanh(q[i][a] + k[j][a])
 *
 * The tanh is made again in the backward: nothing of size (Tq, Tk, A) is ever stored. */

static void additive_scores(const fr_additive *m) {
    const real *v = m->v;
    for (fr_index i = 0; i < m->queries; i++)
        for (fr_index j = 0; j < m->keys; j++) {
            const real *q = (const real *)m->q + i * m->size, *k = (const real *)m->k + j * m->size;
            vec sum = {0};
            for (fr_index a = 0; a < m->size; a += VL) {
                const fr_index n = m->size - a;
                sum += load_part(v + a, n) * vtanh(load_part(q + a, n) + load_part(k + a, n));
            }
            ((real *)m->alignment)[i * m->tk + j] = sum_halves(sum);
        }
}

/* Writes dq (queries, size) and dv (size), adds to dk, which comes in as zeros. */
static void additive_backward(const fr_additive *m) {
    const real *dscore = m->dscore;
    for (fr_index a = 0; a < m->size; a += VL) {
        const fr_index n = m->size - a;
        const vec v = load_part((const real *)m->v + a, n);
        vec dv = {0};
        for (fr_index i = 0; i < m->queries; i++) {
            const vec q = load_part((const real *)m->q + i * m->size + a, n);
            vec dq = {0};
            for (fr_index j = 0; j < m->keys; j++) {
                const vec k = load_part((const real *)m->k + j * m->size + a, n);
                real *dk = (real *)m->dk + j * m->size + a;
                const vec t = vtanh(q + k), ds = broadcast(dscore[i * m->tk + j]);
                const vec d = ds * v * (1 - t * t); /* tanh(q + k) */
                dv += ds * t;
                dq += d;
                store_part(dk, load_part(dk, n) + d, n);
            }
            store_part((real *)m->dq + i * m->size + a, dq, n);
        }
        store_part((real *)m->dv + a, dv, n);
    }
}
