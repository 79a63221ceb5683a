cimport numpy as cnp

from fastrnn._kernels.simd cimport fr_index

# A target that was found: where it ends in the history of its sentence, and how good it is.
cdef struct Found:
    double score
    double log_probability
    bint finished
    fr_index length  # tokens to be shown
    fr_index row     # as which the last of them went on
    fr_index at      # of its tokens, once they are shown

# How the hypotheses of one sentence came about, [room][beam].
cdef struct History:
    fr_index beam
    fr_index attention_bytes  # of a row; 0: not kept
    fr_index room             # steps
    fr_index *parent          # of what went on as this row, the row before
    fr_index *token           # and the token
    char *attention           # of each row of the step

# Tokens of targets one after another, and their attention.
cdef struct Shown:
    fr_index attention_bytes
    fr_index used
    fr_index room
    cnp.int64_t *tokens
    char *attention

cdef bint make_room(History *history, fr_index steps) noexcept nogil
cdef void forget(History *history) noexcept nogil
cdef fr_index enter(Found *best, fr_index count, fr_index most, Found found) noexcept nogil
cdef bint show(Shown *shown, const History *history, Found *found) noexcept nogil
cdef void discard(Shown *shown) noexcept nogil
