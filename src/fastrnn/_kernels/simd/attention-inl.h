/* The additive score (Bahdanau et al. 2015, A.1.2) of one sequence.
 *
 *   score[i][j] = sum over a of v[a] * tanh(q[i][a] + k[j][a])
 *
 * The tanh is made again in the backward: nothing of size (Tq, Tk, A) is ever stored. */
#pragma once

#include "vec-inl.h"
#include "vmath-inl.h"

/* sum of v * tanh(q + k) */
INLINE real additive_score(const real *v, const real *q, const real *k, fr_index size) {
    vec total = {0};
    for (fr_index first = 0; first < size; first += FR_SUM_BLOCK) {
        const fr_index end = min_index(size, first + FR_SUM_BLOCK);
        vec sum = {0};
        for (fr_index a = first; a < end; a += VL) {
            const fr_index n = end - a;
            sum += load_part(v + a, n) * vtanh(load_part(q + a, n) + load_part(k + a, n));
        }
        total += sum;
    }
    return sum_halves(total);
}

static void additive_scores(const fr_additive *m) {
    for (fr_index i = 0; i < m->queries; i++)
        for (fr_index j = 0; j < m->keys; j++)
            ((real *)m->score)[i * m->tk + j] = additive_score(
                m->v, (const real *)m->q + i * m->size, (const real *)m->k + j * m->size, m->size);
}

/* Some numbers from `a` on of the gradients for one query and the keys first .. end-1: adds to dk,
 * to *dq and to *dv. */
INLINE void additive_block(const fr_additive *m, fr_index i, fr_index a, fr_index first,
                           fr_index end, vec *dq, vec *dv) {
    const real *dscore = (const real *)m->dscore + i * m->tk;
    const fr_index n = m->size - a;
    const vec v = load_part((const real *)m->v + a, n);
    const vec q = load_part((const real *)m->q + i * m->size + a, n);
    vec own_dq = {0}, own_dv = {0};
    for (fr_index j = first; j < end; j++) {
        const vec k = load_part((const real *)m->k + j * m->size + a, n);
        real *dk = (real *)m->dk + j * m->size + a;
        const vec t = vtanh(q + k), ds = broadcast(dscore[j]);
        const vec d = ds * v * (1 - t * t); /* tanh(q + k) */
        own_dv += ds * t;
        own_dq += d;
        store_part(dk, load_part(dk, n) + d, n);
    }
    *dq += own_dq;
    *dv += own_dv;
}

/* Writes dq (queries, size), adds to dv (size) and to dk. There are at most FR_SUM_BLOCK queries,
 * so that no sum is long. */
static void additive_backward(const fr_additive *m) {
    for (fr_index a = 0; a < m->size; a += VL) {
        vec dv = {0};
        for (fr_index i = 0; i < m->queries; i++) {
            vec dq = {0}, own_dv = {0};
            for (fr_index j = 0; j < m->keys; j += FR_SUM_BLOCK)
                additive_block(m, i, a, j, min_index(m->keys, j + FR_SUM_BLOCK), &dq, &own_dv);
            dv += own_dv;
            store_part((real *)m->dq + i * m->size + a, dq, m->size - a);
        }
        real *to = (real *)m->dv + a;
        store_part(to, load_part(to, m->size - a) + dv, m->size - a);
    }
}
