/* One translation unit: every kernel for one instruction set and one real type.
 * setup.py compiles it for each pair with FR_ISA, FR_VECTOR_BYTES, FR_REGISTERS and
 * FR_REAL_BYTES. */
#include "attention-inl.h"
#include "cells.def"
#include "optimizers-inl.h"
#include "pack-inl.h"
#include "pointwise-inl.h"
#include "product-inl.h"
#include "row_product-inl.h"
#include "sampling-inl.h"
#include "softmax-inl.h"

#define PASTE(a, b, c) a##b##_##c
#define TABLE_NAME(isa, bytes) PASTE(fr_table_, isa, bytes)
#define QUOTE(name) #name
#define STRING(name) QUOTE(name)

#define FR_CELL(cell)                                                                              \
    {.name = #cell,                                                                                \
     .step = cell##_step,                                                                          \
     .backward_step = cell##_backward_step,                                                        \
     .single = cell##_single,                                                                      \
     .work_per_unit = cell##_work_per_unit},
static const fr_cell_kernels cells[] = {
#include "cells.def"
    {.name = NULL}};

#define FR_OP(name, result) #name,
static const char *const op_names[] = {
#include "cells/program.def"
    NULL};
#undef FR_OP
static const fr_cell_kernels program = {
    .name = "program", .step = program_step, .backward_step = program_backward_step};

FR_HIDDEN const fr_kernels TABLE_NAME(FR_ISA, FR_REAL_BYTES) = {
    .isa = STRING(FR_ISA),
    .lanes = VL,
    .itemsize = FR_REAL_BYTES,
    .pack_nn = pack_nn,
    .pack_nt = pack_nt,
    .pack_tn = pack_tn,
    .pack_tt = pack_tt,
    .product = product,
    .cells = cells,
    .program = &program,
    .program_work = sizeof(program_memory),
    .op_names = op_names,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .cross_entropy = cross_entropy,
    .log_sum_exp = log_sum_exp,
    .largest = largest,
    .draw = draw,
    .row_products = row_products,
    .additive_scores = additive_scores,
    .additive_backward = additive_backward,
    .exp = map_exp,
    .sigmoid = map_sigmoid,
    .tanh = map_tanh,
    .tanh_backward = tanh_backward,
    .add_rows = add_rows,
    .multiply_rows = multiply_rows,
    .dropout = dropout,
    .squared_norm = squared_norm,
    .scale = scale,
    .sgd = sgd,
    .momentum = momentum,
    .adagrad = adagrad,
    .rmsprop = rmsprop,
    .adam = adam,
};
