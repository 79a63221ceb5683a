cimport numpy as cnp

from fastrnn._kernels.attention.attention cimport AttentionJob
from fastrnn._kernels.linalg.matrix cimport Affine, Matrix, Workspace
from fastrnn._kernels.recurrent.prepacked cimport Prepacked
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.simd cimport FR_MOST_STATES, fr_index, fr_kernels

# The rows of a step, and where one thread's steps keep them: each is a hypothesis of a sentence;
# those of one sentence are neighbours. Of what a step leaves to the next there are two, in turn.
cdef struct StepRows:
    fr_index most
    fr_index bytes
    fr_index count
    cnp.int64_t *token     # what is fed
    fr_index *sentence
    fr_index *parent       # the row of the step before that goes on here; -1: a sentence begins
    fr_index before_count  # rows of the step before
    char *state
    char *state_before     # as `Prepacked.memory_at` lays it out
    Matrix features        # and the constant beside them
    Matrix features_before
    Matrix x
    Matrix query           # projected
    Matrix *parts          # [3][heads]: queries, attention, contexts of each head
    Matrix each            # [heads * most] rows, the attention of each head where there are several
    Matrix contexts        # of the heads side by side
    Matrix joined          # [c; h]
    Matrix attention
    Matrix logits
    Workspace work
    Call *call


cdef class StepDecoder:
    cdef const fr_kernels *kernels
    cdef Prepacked stack
    cdef list owner
    cdef object dtype
    cdef fr_index sentences, vocabulary, memory_steps, memory_size, features
    cdef bint attends, attends_before, feeds_features
    cdef Matrix embedding, constant
    cdef const char *states[FR_MOST_STATES]  # first ones
    cdef AttentionJob score
    cdef Affine query, heads_output, readout, output
    cdef double row_work
    cdef int attend_to(
        self, object decoder, object memory, object lengths, object num_threads
    ) except -1
    cdef StepRows rows_at(self, char *memory, fr_index most) noexcept nogil
    cdef void step(self, StepRows *rows) noexcept nogil
    cdef void carry_states(self, StepRows *rows) noexcept nogil
    cdef void make_inputs(self, StepRows *rows) noexcept nogil
    cdef void make_features(self, StepRows *rows) noexcept nogil
    cdef Matrix top_state(self, StepRows *rows, bint after) noexcept nogil
    cdef void attend_rows(self, StepRows *rows, Matrix query, Matrix context) noexcept nogil
