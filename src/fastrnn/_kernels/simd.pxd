"""The C interface; simd/fastrnn_simd.h explains every field."""

from libc.stdint cimport int64_t

cdef extern from "fastrnn_simd.h" nogil:
    ctypedef Py_ssize_t fr_index

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

    ctypedef struct fr_batch:
        fr_index rows, steps
        const fr_index *batch_sizes
        const fr_index *offset

    ctypedef struct fr_view:
        void **row
        fr_index step

    ctypedef struct fr_layout:
        fr_index panels, width, advance
        fr_index[4] start, limit

    ctypedef struct fr_plan:
        fr_index depth, rows, near
        int fetch

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

    ctypedef struct fr_cell:
        const fr_plan *plan
        fr_batch batch
        fr_index input, hidden, ld
        fr_view x, y
        const void *wx
        const void *wh
        const void *bias
        const void *bias_h
        const void *wh_n
        const void *drop_h
        void *h
        void *c
        void *gates
        void *reset_h
        void *pre_activations
        void *dropped_h
        fr_index vectors, h_slots, c_slots, tape_rows, relu, complement

    ctypedef struct fr_cell_backward:
        fr_cell cell
        fr_view dy
        const void *wh_t
        const void *wh_n_t
        void *dh
        void *dc
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
