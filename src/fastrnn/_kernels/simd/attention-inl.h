/* The additive score (Bahdanau et al. 2015, A.1.2) of one sequence.
 *
 *   score[i][j] = sum over a of v[a] * tanh(q[i][a] + k[j][a])
 *
 * The tanh is made again in the backward: nothing of size (Tq, Tk, A) is ever stored. */
#pragma once

#include "vec-inl.h"
#include "vmath-inl.h"

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
            ((real *)m->score)[i * m->tk + j] = sum_halves(sum);
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
