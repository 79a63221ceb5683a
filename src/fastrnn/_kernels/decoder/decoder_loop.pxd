from fastrnn._kernels.attention.attention cimport AttentionJob
from fastrnn._kernels.linalg.matrix cimport Affine
from fastrnn._kernels.recurrent.backward cimport Backward
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.simd cimport fr_batch, fr_cell, fr_index, fr_kernels, fr_step

# A row of numbers for each sequence and step; scratch memory has the same for all steps.
cdef struct Plane:
    char *data
    fr_index columns
    fr_index row_bytes   # from a sequence to the next
    fr_index step_bytes  # from a step to the next

# A decoder over a batch. The names of planes are those of `_reference/attention_decoder.py`.
cdef struct Loop:
    const fr_kernels *kernels
    fr_batch batch
    const fr_index *order  # the sequence of each row
    fr_index layers
    double row_work        # multiply-adds of a step of one row
    bint feeding
    bint residual         # whether there is a layer that adds the one before
    fr_step *step
    const fr_cell *cells  # of each layer
    const Plane *outputs  # of each layer: the input of the next, at last the h of `joined`
    const Plane *drops    # of the inputs of all layers but the first, or NULL
    Plane below           # scratch, if residual: the output of a layer before dropout
    Plane x               # of no columns where x is rows of an embedding: then
    Plane ids             # their numbers, and
    const char *projected     # the sums that each row gives a step to begin with, or NULL
    fr_index projected_bytes  # from a row to the next
    Plane first_x         # the input of the first layer: x, and
    Plane first_fed    # what is fed, or the context
    Plane fed             # before the first step
    Plane joined          # [c; h], of which
    Plane c
    Plane query           # the h of `joined`; or a copy of the state of the top layer
    Plane q               # what asks the memory: the query, or its projection by
    Affine query_weights
    Plane heads           # c; or, of multi_head, the contexts of all heads side by side, which meet
    Affine heads_weights
    Plane f
    Affine readout
    AttentionJob attention_job     # a query is that of a step
    char *work            # for each thread: scratch memory of programs; NULL where there are none

cdef struct BackwardLoop:
    Loop forward
    Backward *cells       # of each layer
    fr_index row_bytes    # of the layer that needs most in a chunk
    Plane dfeatures
    Plane dfed            # scratch: of what the step fed to the next
    Plane dz              # before the tanh of the readout; without one, `djoined`
    Plane djoined         # scratch, of which
    Plane djoined_c
    Plane djoined_h
    Plane dc
    Plane dheads
    Plane dq
    Plane dquery          # scratch
    Plane dscore_k        # of the additive score: the sums over all steps of each sequence, to
    Plane dscore_v        # which a block of steps adds at once
    Plane dy              # scratch: of the output of a layer
    Plane dbelow          # scratch: of its input
    Plane dfirst_x        # scratch: of the input of the first layer
    Plane dfirst_fed
    Plane dx
    Affine readout_t       # transposed
    Affine heads_weights_t
    Affine query_weights_t

cdef void forward_steps(void *loop, int t, Call *call) noexcept nogil
cdef void run_steps_backward(BackwardLoop *b, Call *call) noexcept nogil
