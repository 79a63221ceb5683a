/* A step of a cell that is data: what `recurrent/program_compiler.py` makes of the graph of a cell
 * that was written in the language of `fastrnn.cell`, codes forward and backward.
 *
 * A code runs in phases. Where a phase needs what all hidden units of a row have in the one before,
 * a mean or the operand of a product, the threads that share the row meet in front of it. A phase
 * first makes its sums (products with weights) for some rows and a panel of four vectors of hidden
 * units; then its instructions run over these rows, each over a block of them at a time, which
 * stays in L1. An operand is the number of a value: a register, a sum of the phase, a place in
 * memory, a row value or a constant. A result goes to a register or to a place. */
#pragma once

#include <stddef.h>

typedef ptrdiff_t fr_index;

enum {
    FR_MOST_STATES = 8,
    /* Values by their numbers: so many of each kind, one kind after another. */
    FR_MOST_REGISTERS = 64,
    FR_MOST_SUMS = 128,
    FR_MOST_PLACES = 256,
    FR_MOST_ROW_VALUES = 32,
    FR_MOST_CONSTANTS = 64,
    FR_FIRST_SUM = FR_MOST_REGISTERS,
    FR_FIRST_PLACE = FR_FIRST_SUM + FR_MOST_SUMS,
    FR_FIRST_ROW_VALUE = FR_FIRST_PLACE + FR_MOST_PLACES,
    FR_FIRST_CONSTANT = FR_FIRST_ROW_VALUE + FR_MOST_ROW_VALUES,
    FR_MOST_VALUES = FR_FIRST_CONSTANT + FR_MOST_CONSTANTS
};

#define FR_OP(name, result) FR_OP_##name,
typedef enum {
#include "cells/program.def"
    FR_OP_put_h,   /* the new h: x */
    FR_OP_load_dh, /* to = the gradient of the new h, that of y included */
    FR_OP_keep,    /* to = x times mask y or, in evaluation, times the number */
    FR_OP_add_up, /* x joins the partial sums y of the row; z: the squares of its deviations, too */
    FR_OP_operand, /* x meets the gradient of product y in that of its matrix */
} fr_op;
#undef FR_OP

typedef struct {
    short op, to, x, y, z;
    double number;
} fr_instruction;

/* Where vectors of a row lie; `index` says which of them. */
typedef enum {
    FR_STATE,   /* the state before the step, */
    FR_NEXT,    /* and after it */
    FR_VECTOR,  /* a weight of one number a hidden unit: the same for all rows */
    FR_CARRIED, /* scratch, from one phase to another */
    FR_TAPE,    /* what the backward will need */
    FR_DSTATE,  /* the gradient of a state: after the step, until it is that before */
    FR_DSUM     /* the gradient of a sum or of a weight vector, in the chunk */
} fr_place_kind;

typedef struct {
    short kind, index;
} fr_place;

/* A product, or the sum of two: numbers of the gate among those that x and that h meet, the number
 * of a matrix and of the carried value that meets it; -1: it takes no part. */
typedef struct {
    short x, h, matrix, operand;
} fr_sum;

/* A number of a row that a phase begins with: of partial sums `partial` the mean or, with `rstd`,
 * 1 / sqrt(variance + eps); or number `saved` of the tape, if there are no partial sums (-1). In
 * training a forward saves it there, if `saved` is not -1. */
typedef struct {
    short partial, saved, rstd;
    double eps;
} fr_row_value;

typedef struct {
    fr_index sums, sums_end, code, code_end, row_values, row_values_end;
    int meet;   /* whether the threads that share rows meet in front of it */
    int narrow; /* its units are those of a projected h */
} fr_phase;

typedef struct {
    const fr_instruction *code;
    const fr_place *places;
    const fr_sum *sums;
    const fr_row_value *row_values;
    const double *constants;
    const fr_phase *phases;
    fr_index register_count, place_count, constant_count, phase_count;
    fr_index carried, partial; /* vectors and partial sums of a row */
} fr_code;

/* Gates that lie one after another in Wh, from `first` on, and so in a chunk. */
typedef struct {
    fr_index first, gates, chunk;
} fr_run;

typedef struct {
    fr_code inference, forward, backward; /* the first leaves no tape */
    fr_index tape, row_tape;              /* vectors and row values of a step that the tape keeps */
    fr_index x_gates, h_gates;            /* those of Wx, with which a chunk begins, and of Wh */
    const fr_run *runs;
    fr_index run_count;
} fr_program;
