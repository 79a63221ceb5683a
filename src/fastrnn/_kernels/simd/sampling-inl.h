/* Choosing among the logits of a row: the largest ones, or one by chance. What is NaN, or minus
 * infinity, is never chosen. */
#pragma once

#include <math.h>

#include "softmax-inl.h"
#include "vec-inl.h"

static double log_sum_exp(const void *row, fr_index count, double *max) {
    const real largest = row_max(row, count);
    *max = (double)largest;
    return log(shifted_exp(NULL, row, count, largest, NULL));
}

/* Writes the places of the `wanted` largest numbers, the largest first and of equal ones the
 * earlier; returns how many there are. */
static fr_index largest(const void *row, fr_index count, fr_index wanted, fr_index *place) {
    const real *x = row;
    fr_index found = 0;
    for (fr_index j = 0; j < count; j++) {
        if (!(x[j] > (found < wanted ? -(real)INFINITY : x[place[found - 1]]))) continue;
        fr_index at = found < wanted ? found++ : found - 1;
        for (; at > 0 && x[place[at - 1]] < x[j]; at--) place[at] = place[at - 1];
        place[at] = j;
    }
    return found;
}

/* Tokens in the order of falling logits, sorted only as far as they are asked for: a heap of those
 * left, behind which those taken stand from the end. */
typedef struct {
    const real *x;
    fr_index *token, count, taken;
} falling;

INLINE int comes_before(const falling *f, fr_index i, fr_index j) {
    const real a = f->x[f->token[i]], b = f->x[f->token[j]];
    return a > b || (a == b && f->token[i] < f->token[j]);
}

static void sink(falling *f, fr_index i) {
    const fr_index left = f->count - f->taken;
    for (fr_index child; (child = 2 * i + 1) < left; i = child) {
        if (child + 1 < left && comes_before(f, child + 1, child)) child++;
        if (!comes_before(f, child, i)) return;
        const fr_index token = f->token[i];
        f->token[i] = f->token[child];
        f->token[child] = token;
    }
}

/* The token that comes after `number` others. */
static fr_index nth(falling *f, fr_index number) {
    while (f->taken <= number) {
        const fr_index last = f->count - ++f->taken, first = f->token[0];
        f->token[0] = f->token[last];
        f->token[last] = first;
        sink(f, 0);
    }
    return f->token[f->count - 1 - number];
}

/* dst = e^((x - max) / temperature) */
static void tempered(real *dst, const real *x, fr_index count, real max, double temperature) {
    for (fr_index j = 0; j < count; j++)
        dst[j] = (real)(((double)x[j] - (double)max) / temperature);
    shifted_exp(dst, dst, count, 0, NULL);
}

static fr_index draw(const void *row, fr_index count, const fr_draw *how, void *work) {
    const real *x = row;
    falling f = {.x = x, .token = work};
    real *weight = (real *)(f.token + count);
    double total = 0, below = 0;
    tempered(weight, x, count, row_max(x, count), how->temperature);
    for (fr_index j = 0; j < count; j++)
        if (weight[j] > 0) {
            total += (double)weight[j];
            f.token[f.count++] = j;
        }
    if (f.count == 0) { /* the largest is infinite */
        fr_index first = 0;
        largest(x, count, 1, &first);
        return first;
    }
    for (fr_index i = f.count / 2; i-- > 0;) sink(&f, i);
    fr_index kept = f.count;
    if (how->top_k && how->top_k < kept) {
        kept = how->top_k;
        total = 0;
        for (fr_index i = 0; i < kept; i++) total += (double)weight[nth(&f, i)];
    }
    if (how->top_p) {
        fr_index fewest = 0;
        while (fewest < kept && (fewest == 0 || below < how->top_p * total))
            below += (double)weight[nth(&f, fewest++)];
        kept = fewest;
        total = below;
        below = 0;
    }
    for (fr_index i = 0; i < kept - 1; i++) {
        below += (double)weight[nth(&f, i)];
        if (below > how->u * total) return nth(&f, i);
    }
    return nth(&f, kept - 1);
}
