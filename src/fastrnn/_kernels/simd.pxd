"""The C interface; simd/fastrnn_simd.h explains every field."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "fastrnn_simd.h" nogil:
    ctypedef Py_ssize_t fr_index
    enum:
        FR_SUM_BLOCK, FR_OVERWRITE, FR_CONTINUE, FR_APART

    enum:
        FR_MOST_STATES, FR_MOST_REGISTERS, FR_MOST_SUMS, FR_MOST_PLACES, FR_MOST_ROW_VALUES
        FR_MOST_CONSTANTS, FR_FIRST_SUM, FR_FIRST_PLACE, FR_FIRST_ROW_VALUE, FR_FIRST_CONSTANT

    ctypedef enum fr_place_kind:
        FR_STATE, FR_NEXT, FR_VECTOR, FR_CARRIED, FR_TAPE, FR_DSTATE, FR_DSUM

    ctypedef struct fr_instruction:
        short op, to, x, y, z
        double number

    ctypedef struct fr_place:
        short kind, index

    ctypedef struct fr_sum:
        short x, h, matrix, operand

    ctypedef struct fr_row_value:
        short partial, saved, rstd
        double eps

    ctypedef struct fr_phase:
        fr_index sums, sums_end, code, code_end, row_values, row_values_end
        int meet, narrow

    ctypedef struct fr_code:
        const fr_instruction *code
        const fr_place *places
        const fr_sum *sums
        const fr_row_value *row_values
        const double *constants
        const fr_phase *phases
        fr_index register_count, place_count, constant_count, phase_count, carried, partial

    ctypedef struct fr_run:
        fr_index first, gates, chunk

    ctypedef struct fr_program:
        fr_code inference, forward, backward
        fr_index tape, row_tape, x_gates, h_gates
        const fr_run *runs
        fr_index run_count

    ctypedef struct fr_matrix:
        const void *data
        fr_index depth

    ctypedef struct fr_barrier:
        int64_t lost, last

    int64_t fr_now()
    int64_t fr_load_relaxed(const int64_t *)
    void fr_store_relaxed(int64_t *, int64_t)
    int64_t fr_add_relaxed(int64_t *, int64_t)
    bint fr_take_flag(int *)
    void fr_leave_flag(int *)
    void fr_barrier_wait(fr_barrier *, int, int)

    ctypedef struct fr_share:
        fr_index first, stride, last, begin, end
        fr_barrier *barrier
        int threads, spin_limit
        void *work

    ctypedef struct fr_batch:
        fr_index rows, steps
        const fr_index *batch_sizes
        const fr_index *offset

    ctypedef struct fr_view:
        void **row
        fr_index step

    ctypedef struct fr_layout:
        fr_index first, panels, width, advance, group, apart
        fr_index[4] start, limit

    ctypedef struct fr_plan:
        fr_index depth, rows, near
        int fetch

    enum:
        FR_REAL, FR_BFLOAT16, FR_INT8

    fr_index fr_elements(int format, fr_index depth)

    ctypedef struct fr_int8_matrix:
        const void *data
        const float *scale
        const int32_t *start

    ctypedef struct fr_int8_kernels:
        const char *name
        const char *isa
        fr_index number_bytes
        void (*quantize)(const float *, fr_index, void *, float *) noexcept nogil

    ctypedef struct fr_int8_operands:
        const fr_int8_kernels *kernels
        const fr_int8_matrix *b
        const float *row_scale

    fr_index fr_int8_row_bytes(const fr_int8_kernels *, fr_index)
    fr_index fr_int8_work(const fr_cell *)

    ctypedef struct fr_product:
        const fr_plan *plan
        fr_index blocks, depth
        void **a
        fr_index a_step, a_block
        const void *b
        fr_index b_step, b_panel
        fr_layout layout
        fr_index begin, end
        const void *bias
        void **c
        int accumulate
        int format
        const fr_int8_operands *int8

    ctypedef struct fr_cell:
        const fr_plan *plan
        fr_batch batch
        fr_index input, hidden, output, ld
        fr_view x, y
        const void *wx
        const void *wh
        const void *bias
        const void *bias_h
        const void *wh_n
        int format
        const fr_int8_kernels *int8
        const void *drop_h
        void *state[FR_MOST_STATES]
        fr_index slots[FR_MOST_STATES]
        void *gates
        void *reset_h
        void *pre_activations
        void *dropped_h
        fr_index vectors, tape_rows, relu, complement
        const fr_program *program
        const void *const *vector
        const fr_matrix *matrix
        void *carried
        void *partial
        void *row_tape
        const fr_view *mask
        fr_index unpacked

    ctypedef struct fr_cell_backward:
        fr_cell cell
        fr_view dy
        const void *wh_t
        const void *wh_n_t
        void *dstate[FR_MOST_STATES]
        void *dgates
        fr_index chunk_first, chunk_rows
        void *operand
        void *dreset_h

    ctypedef struct fr_cell_single:
        fr_index input, hidden
        const void *x
        const void *h
        const void *c
        const void *wx
        const void *wh
        const void *b
        const void *bh
        const fr_index *order
        fr_index relu, complement
        void *work
        void *h_next
        void *c_next

    ctypedef struct fr_additive:
        fr_index queries, keys, tk, size
        const void *q
        const void *k
        const void *v
        void *score
        const void *dscore
        void *dq
        void *dk
        void *dv

    ctypedef struct fr_draw:
        double temperature, top_p, u
        fr_index top_k

    ctypedef struct fr_update_options:
        double lr, momentum, rho, beta1, beta2, eps
        double root_scale, keep

    ctypedef void fr_update(void *const *, fr_index, const fr_update_options *) noexcept nogil
    ctypedef void fr_pack(
        void *, const void *, fr_index, fr_index, const fr_layout *
    ) noexcept nogil
    ctypedef void fr_rows(void *, const void *, fr_index) noexcept nogil
    ctypedef void fr_step(const fr_cell *, fr_share, fr_index, const void *const *) noexcept nogil
    ctypedef void fr_backward_step(const fr_cell_backward *, fr_share, fr_index) noexcept nogil
    ctypedef void fr_single(const fr_cell_single *) noexcept nogil

    ctypedef struct fr_cell_kernels:
        const char *name
        fr_step *step
        fr_backward_step *backward_step
        fr_single *single
        fr_index work_per_unit

    ctypedef struct fr_kernels:
        const char *isa
        fr_index lanes, itemsize
        fr_pack *pack_nn
        fr_pack *pack_nt
        fr_pack *pack_tn
        fr_pack *pack_tt
        void (*product)(const fr_product *, fr_index, fr_index) noexcept nogil
        const fr_cell_kernels *cells
        const fr_cell_kernels *program
        fr_index program_work
        const char *const *op_names
        void (*softmax)(void *, fr_index) noexcept nogil
        void (*softmax_backward)(void *, const void *, fr_index) noexcept nogil
        double (*cross_entropy)(
            const void *, fr_index, fr_index, double, double, void *
        ) noexcept nogil
        double (*log_sum_exp)(const void *, fr_index, double *) noexcept nogil
        fr_index (*largest)(const void *, fr_index, fr_index, fr_index *) noexcept nogil
        fr_index (*draw)(const void *, fr_index, const fr_draw *, void *) noexcept nogil
        void (*row_products)(void *, fr_index, const void *, fr_index, fr_index, const void *,
                             fr_index, fr_index, fr_index) noexcept nogil
        void (*additive_scores)(const fr_additive *) noexcept nogil
        void (*additive_backward)(const fr_additive *) noexcept nogil
        fr_rows *exp
        fr_rows *sigmoid
        fr_rows *tanh
        fr_rows *tanh_backward
        fr_rows *add_rows
        fr_rows *multiply_rows
        void (*dropout)(void *, const void *, const unsigned char *, double,
                        fr_index) noexcept nogil
        double (*squared_norm)(const void *, fr_index) noexcept nogil
        void (*scale)(void *, fr_index, double) noexcept nogil
        fr_update *sgd
        fr_update *momentum
        fr_update *adagrad
        fr_update *rmsprop
        fr_update *adam

    const fr_kernels *fr_find(const char *isa, int real_bytes)
