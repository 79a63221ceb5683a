"""The functions of `fastrnn._reference.decoding`, compiled.

    in each thread, for its sentences:
        until all are over:
            fill the block with sentences that have not begun
            a step of the decoder for all hypotheses of the block at once
            for each sentence of the block:
                choose its next token, or the best continuations of its beam
                if it is over, copy what was found; it leaves the block

A history grows with its sentence, by doubling; everything else that a call needs it takes at once.
"""

cimport cython
cimport numpy as cnp
import numpy as np
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.math cimport INFINITY, fmin, log, pow
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from fastrnn._kernels.attention.attention cimport keys_of
from fastrnn._kernels.decoder.decoder_step cimport StepDecoder, StepRows
from fastrnn._kernels.runtime.interrupt cimport Call, interrupted
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.runtime.threads cimport run_threads, threads_for
from fastrnn._kernels.simd cimport fr_draw, fr_index, fr_kernels

cnp.import_array()

# Hypotheses of a block: so many that a step reads the weights once for all of them, so few that
# their states stay in L2.
cdef fr_index BLOCK_ROWS = 256
# Steps that a sentence is taken to need, for the choice of threads.
cdef fr_index USUAL_STEPS = 8
# Steps that a history has room for at first.
cdef fr_index FIRST_ROOM = 32


# A target that was found: where it ends in the history of its sentence, and how good it is.
cdef struct Found:
    double score, log_probability
    bint finished
    fr_index length  # tokens to be shown
    fr_index row     # as which the last of them went on
    fr_index at      # of its tokens, once they are shown


# Tokens of targets one after another, and their attention.
cdef struct Shown:
    fr_index used, room
    cnp.int64_t *tokens
    char *attention


# A sentence in a block, and how its hypotheses came about.
cdef struct Sentence:
    fr_index number
    fr_index steps           # made so far
    fr_index first           # of its rows in the block
    fr_index rows
    double *log_probability  # of each row
    double *coverage         # [rows][covered], the attention that each step of the memory got
    double *next_log_probability
    double *next_coverage
    fr_index room            # of the history, in steps
    fr_index *parent         # [room][beam]: of what went on as this row, the row before,
    fr_index *token          # and the token
    char *attention          # [room][beam] of each row of the step


# A continuation of a hypothesis.
cdef struct Continuation:
    double log_probability
    fr_index parent  # number among the rows of its sentence
    fr_index token


# What one thread has.
cdef struct Worker:
    StepRows rows
    fr_index next            # sentence to come into the block
    fr_index running         # of the block's sentences, the first
    Sentence *sentences
    Continuation *continuations
    fr_index *places         # of the largest logits of a row
    void *drawing            # scratch of a draw
    Shown shown
    bint failed              # for want of memory


# The options of a call, and what it finds.
cdef struct DecodingJob:
    const fr_kernels *kernels
    void *decoder            # a StepDecoder
    Worker *workers
    double row_work          # multiply-adds of a step of one row
    fr_index sentences
    fr_index block           # sentences of a block
    fr_index beam
    fr_index attention_bytes  # of a row; 0: not kept
    fr_index most_steps
    fr_index end             # -1: there is no end mark
    const cnp.int64_t *start
    # One target a sentence
    const cnp.int64_t *seeds  # NULL: the likeliest token is chosen
    fr_draw how
    const cnp.int64_t *forced
    const unsigned char *use_forced
    # A beam search, where n_best > 0
    fr_index n_best
    double length_penalty, coverage_penalty
    fr_index covered         # steps of the memory; 0: coverage does not count
    # What was found for each sentence, by which thread
    Found *found             # [sentences][max(n_best, 1)]
    fr_index *count
    fr_index *worker


# --- the loop -------------------------------------------------------------------------------------

cdef void decode_share(void *job, int t, Call *call) noexcept nogil:
    """A thread's sentences, fewer if the call is to end: every so many-th one."""
    cdef DecodingJob *m = <DecodingJob *>job
    cdef Worker *w = &m.workers[t]
    w.next, w.rows.call = t, call
    while not w.failed:
        while w.running < m.block and w.next < m.sentences:
            begin_sentence(m, w, &w.sentences[w.running])
            m.worker[w.next] = t
            w.running += 1
            w.next += call.threads
        if w.running == 0:
            return
        (<StepDecoder>m.decoder).step(&w.rows)
        if interrupted(call, w.rows.count * m.row_work):
            return  # the logits may be anything
        go_on(m, w)


cdef void begin_sentence(const DecodingJob *m, Worker *w, Sentence *s) noexcept nogil:
    """The next sentence comes into the block."""
    s.number = w.next
    s.steps = s.rows = 0
    s.first = w.rows.count
    s.log_probability[0] = 0
    memset(s.coverage, 0, m.covered * sizeof(double))
    m.count[w.next] = 0
    push(w, s, m.start[w.next], -1)


cdef void push(Worker *w, Sentence *s, fr_index token, fr_index parent) noexcept nogil:
    """A row of the next step."""
    w.rows.token[w.rows.count] = token
    w.rows.parent[w.rows.count] = parent
    w.rows.sentence[w.rows.count] = s.number
    w.rows.count += 1
    s.rows += 1


cdef void go_on(const DecodingJob *m, Worker *w) noexcept nogil:
    """Every sentence makes its rows of the next step, or leaves the block."""
    cdef fr_index i, kept = 0
    cdef Sentence s
    cdef bint over
    w.rows.count = 0
    for i in range(w.running):
        s = w.sentences[i]
        over = search_on(m, w, &s) if m.n_best else follow(m, w, &s)
        if over and not w.failed:
            show_results(m, w, &s)
        # Its memory stays in the block.
        w.sentences[i] = w.sentences[kept]
        w.sentences[kept] = s
        kept += not over
    w.running = kept


cdef inline double value(const fr_kernels *k, const void *row, fr_index place) noexcept nogil:
    return (<const float *>row)[place] if k.itemsize == 4 else (<const double *>row)[place]


cdef inline const char *logits_of(const Worker *w, fr_index row) noexcept nogil:
    return w.rows.logits.data + row * w.rows.logits.row_bytes


# --- histories ------------------------------------------------------------------------------------

cdef bint grow(void **array, fr_index bytes) noexcept nogil:
    """Make an array larger; tells whether there was memory."""
    cdef void *moved = PyMem_RawRealloc(array[0], max(bytes, 1))
    if moved != NULL:
        array[0] = moved
    return moved != NULL


cdef bint remember_attention(const DecodingJob *m, Worker *w, Sentence *s) noexcept nogil:
    """Keep the attention of the rows of this step; tells whether there was memory."""
    cdef fr_index bytes = m.attention_bytes, room = s.room
    if s.steps == room:
        room = 2 * room or FIRST_ROOM
        if not (
            grow(<void **>&s.parent, room * m.beam * sizeof(fr_index))
            and grow(<void **>&s.token, room * m.beam * sizeof(fr_index))
            and grow(<void **>&s.attention, room * m.beam * bytes)
        ):
            w.failed = True
            return False
        s.room = room
    memcpy(
        s.attention + s.steps * m.beam * bytes, w.rows.attention.data + s.first * bytes,
        s.rows * bytes,
    )
    return True


cdef void remember(
    const DecodingJob *m, Sentence *s, fr_index row, fr_index parent, fr_index token
) noexcept nogil:
    """What goes on from this step as its sentence's row of this number."""
    s.parent[s.steps * m.beam + row], s.token[s.steps * m.beam + row] = parent, token


cdef void show_results(const DecodingJob *m, Worker *w, const Sentence *s) noexcept nogil:
    """Copy the tokens of what was found."""
    cdef fr_index first = s.number * max(m.n_best, 1), i
    for i in range(first, first + m.count[s.number]):
        if not show(m, &w.shown, s, &m.found[i]):
            w.failed = True


cdef bint show(const DecodingJob *m, Shown *shown, const Sentence *s, Found *found) noexcept nogil:
    """Follow a target back from its end, and copy it; tells whether there was memory."""
    cdef fr_index room = max(shown.room, FIRST_ROOM), bytes = m.attention_bytes
    cdef fr_index row = found.row, step, at
    while room < shown.used + found.length:
        room *= 2
    if room > shown.room:
        if not (
            grow(<void **>&shown.tokens, room * sizeof(cnp.int64_t))
            and grow(<void **>&shown.attention, room * bytes)
        ):
            return False
        shown.room = room
    for step in range(found.length - 1, -1, -1):
        at = step * m.beam + row
        shown.tokens[shown.used + step] = s.token[at]
        row = s.parent[at]
        memcpy(
            shown.attention + (shown.used + step) * bytes,
            s.attention + (step * m.beam + row) * bytes, bytes,
        )
    found.at = shown.used
    shown.used += found.length
    return True


# --- one target a sentence ------------------------------------------------------------------------

cdef bint follow(const DecodingJob *m, Worker *w, Sentence *s) noexcept nogil:
    """Go on with one token; tells whether the sentence is over."""
    cdef const char *logits = logits_of(w, s.first)
    cdef fr_index token, first = s.first
    cdef double top, log_sum
    if not remember_attention(m, w, s):
        return True
    token = choose_token(m, w, s, logits)
    log_sum = m.kernels.log_sum_exp(logits, w.rows.logits.columns, &top)
    s.log_probability[0] += value(m.kernels, logits, token) - top - log_sum
    remember(m, s, 0, 0, token)
    s.steps += 1
    if token == m.end or s.steps == m.most_steps:
        m.found[s.number] = Found(0, s.log_probability[0], token == m.end, s.steps, 0, 0)
        m.count[s.number] = 1
        return True
    s.first, s.rows = w.rows.count, 0
    push(w, s, token, first)
    return False


cdef fr_index choose_token(
    const DecodingJob *m, Worker *w, const Sentence *s, const void *logits
) noexcept nogil:
    """The token that is given, drawn, or the likeliest."""
    cdef fr_index given, token = 0
    cdef fr_draw how = m.how
    if m.forced:
        given = s.number * m.most_steps + s.steps
        if m.use_forced[given]:
            return m.forced[given]
    if m.seeds:
        how.u = uniform(m.seeds[s.number], s.steps)
        return m.kernels.draw(logits, w.rows.logits.columns, &how, w.drawing)
    m.kernels.largest(logits, w.rows.logits.columns, 1, &token)
    return token


cdef double uniform(uint64_t seed, uint64_t t) noexcept nogil:
    """Number t of a seed's sequence in [0, 1): SplitMix64 (Steele, Lea and Flood 2014)."""
    cdef uint64_t z = seed + (t + 1) * <uint64_t>0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return <double>((z ^ (z >> 31)) >> 11) / 9007199254740992.0


# --- beam search ----------------------------------------------------------------------------------

cdef bint search_on(const DecodingJob *m, Worker *w, Sentence *s) noexcept nogil:
    """Go on with the best continuations; tells whether the sentence is over."""
    cdef fr_index count = continue_rows(m, w, s), token, rank, first = s.first
    cdef Continuation *found = w.continuations
    if count == 0:
        enter_running(m, s)
        return True
    if not remember_attention(m, w, s):
        return True
    cover(m, w, s)
    for rank in range(min(count, m.beam)):
        if found[rank].token == m.end:
            enter(m, s, True, s.steps + 1, found[rank].log_probability, found[rank].parent)
    s.first, s.rows = w.rows.count, 0
    for rank in range(count):
        token = found[rank].token
        if token != m.end and s.rows < m.beam:
            go_on_as(m, s, s.rows, &found[rank])
            push(w, s, token, first + found[rank].parent)
    s.steps += 1
    s.log_probability, s.next_log_probability = s.next_log_probability, s.log_probability
    s.coverage, s.next_coverage = s.next_coverage, s.coverage
    if s.rows and not settled(m, s):
        if s.steps < m.most_steps:
            return False
        enter_running(m, s)
    w.rows.count = s.first
    return True


cdef fr_index continue_rows(const DecodingJob *m, Worker *w, const Sentence *s) noexcept nogil:
    """The likeliest continuations, at most 2 * beam, of which a beam has no end mark."""
    cdef const fr_kernels *k = m.kernels
    cdef fr_index V = w.rows.logits.columns, count = 0, row, i, found
    cdef Continuation new
    cdef double top, log_sum
    cdef const char *logits
    for row in range(s.rows):
        logits = logits_of(w, s.first + row)
        log_sum = k.log_sum_exp(logits, V, &top)
        # The end mark is at most one of them.
        found = k.largest(logits, V, min(m.beam + 1, V), w.places)
        for i in range(found):
            new.token, new.parent = w.places[i], row
            new.log_probability = s.log_probability[row] + (
                value(k, logits, new.token) - top - log_sum
            )
            if not new.log_probability > -INFINITY:
                break
            count = insert(w.continuations, count, 2 * m.beam, new)
    return count


cdef fr_index insert(
    Continuation *sorted, fr_index count, fr_index most, Continuation new
) noexcept nogil:
    """Insert after what is as likely, if there is room or the last one may go. How many now."""
    cdef fr_index at = min(count, most - 1)
    if count == most and sorted[at].log_probability >= new.log_probability:
        return count
    while at > 0 and sorted[at - 1].log_probability < new.log_probability:
        sorted[at] = sorted[at - 1]
        at -= 1
    sorted[at] = new
    return min(count + 1, most)


cdef void go_on_as(
    const DecodingJob *m, Sentence *s, fr_index row, const Continuation *found
) noexcept nogil:
    """A continuation is this row of the next step."""
    remember(m, s, row, found.parent, found.token)
    s.next_log_probability[row] = found.log_probability
    memcpy(
        s.next_coverage + row * m.covered, s.coverage + found.parent * m.covered,
        m.covered * sizeof(double),
    )


cdef void cover(const DecodingJob *m, const Worker *w, Sentence *s) noexcept nogil:
    """Add the attention of this step."""
    cdef fr_index row, i
    cdef const char *attention
    for row in range(s.rows):
        attention = w.rows.attention.data + (s.first + row) * w.rows.attention.row_bytes
        for i in range(m.covered):
            s.coverage[row * m.covered + i] += value(m.kernels, attention, i)


cdef double score(
    const DecodingJob *m, const Sentence *s, fr_index tokens, double log_probability, fr_index row
) noexcept nogil:
    """log p / lp + cp (Wu et al. 2016, equation 14), given the coverage of a row."""
    cdef double total = 0
    cdef fr_index i
    if m.covered:
        for i in range(keys_of(&(<StepDecoder>m.decoder).score, s.number)):
            total += log(fmin(s.coverage[row * m.covered + i], 1))
    return log_probability / length_divisor(m, tokens) + m.coverage_penalty * total


cdef double length_divisor(const DecodingJob *m, fr_index tokens) noexcept nogil:
    # No tokens have the probability 1, whatever divides: let it not become 0.
    return pow((5 + <double>max(tokens, 1)) / 6, m.length_penalty)


cdef void enter_running(const DecodingJob *m, const Sentence *s) noexcept nogil:
    """The hypotheses that have no end mark may be among the best."""
    cdef fr_index row
    for row in range(s.rows):
        enter(m, s, False, s.steps, s.log_probability[row], row)


cdef void enter(
    const DecodingJob *m, const Sentence *s, bint finished, fr_index tokens,
    double log_probability, fr_index row,
) noexcept nogil:
    """Put a target among the best if it is, of equal scores the first to come before."""
    cdef Found *best = m.found + s.number * m.n_best
    cdef fr_index *count = &m.count[s.number]
    cdef fr_index at = count[0], i
    cdef double points = score(m, s, tokens, log_probability, row)
    while at > 0 and best[at - 1].score < points:
        at -= 1
    if at == m.n_best:
        return
    count[0] = min(count[0] + 1, m.n_best)
    for i in range(count[0] - 1, at, -1):
        best[i] = best[i - 1]
    best[at] = Found(points, log_probability, finished, s.steps, row, 0)


cdef bint settled(const DecodingJob *m, const Sentence *s) noexcept nogil:
    """Whether no row can come to be better than the last of the best.

    The first row is the likeliest; at best it loses no probability, becomes as long as may be, and
    covers the memory.
    """
    if m.count[s.number] < m.n_best:
        return False
    return (
        s.log_probability[0] / length_divisor(m, m.most_steps)
        <= m.found[(s.number + 1) * m.n_best - 1].score
    )


# --- calls ----------------------------------------------------------------------------------------

@cython.no_gc_clear  # the memory is read when the call is freed
cdef class Decoding:
    """A call: its options, its memory and its results."""

    cdef DecodingJob job
    cdef StepDecoder decoder
    cdef list owner
    cdef int threads
    cdef bint returns_attention

    def __cinit__(
        self, decoder, states, memory, lengths, constant, start, end, max_length,
        bint return_attention, fr_index beam_size, fr_index n_best, num_threads,
    ):
        self.decoder = StepDecoder(decoder, states, memory, lengths, constant, num_threads)
        self.owner = [start]
        self.returns_attention = return_attention
        cdef DecodingJob *m = &self.job
        m.kernels, m.decoder = self.decoder.kernels, <void *>self.decoder
        m.sentences, m.beam, m.n_best = self.decoder.sentences, beam_size, n_best
        m.most_steps = max_length
        m.end = -1 if end is None else end
        m.start = <const cnp.int64_t *>cnp.PyArray_DATA(start)
        m.row_work = self.decoder.row_work + (
            2.0 * self.decoder.memory_steps * self.decoder.memory_size
        )
        cdef double work = self.decoder.row_work * m.sentences * beam_size
        self.threads = threads_for(num_threads, work * min(USUAL_STEPS, m.most_steps), m.sentences)
        cdef fr_index share = (m.sentences + self.threads - 1) // self.threads
        m.block = max(1, min(BLOCK_ROWS // m.beam, share))
        m.found = <Found *>self.reserve(m.sentences * max(n_best, 1), sizeof(Found))
        m.count = <fr_index *>self.reserve(m.sentences, sizeof(fr_index))
        m.worker = <fr_index *>self.reserve(m.sentences, sizeof(fr_index))

    def __dealloc__(self):
        cdef int t
        cdef fr_index i
        cdef Worker *w
        for t in range(self.threads if self.job.workers else 0):
            w = &self.job.workers[t]
            for i in range(self.job.block):
                PyMem_RawFree(w.sentences[i].parent)
                PyMem_RawFree(w.sentences[i].token)
                PyMem_RawFree(w.sentences[i].attention)
            PyMem_RawFree(w.shown.tokens)
            PyMem_RawFree(w.shown.attention)

    cdef void *reserve(self, fr_index count, fr_index itemsize) except NULL:
        """Zeroed memory that lives as long as the call."""
        cdef Buffer buffer = Buffer(count, itemsize, zeroed=True)
        self.owner.append(buffer)
        return buffer.data

    cdef int run(self) except -1:
        """Decode all sentences."""
        cdef int t
        cdef Worker *workers = <Worker *>self.reserve(self.threads, sizeof(Worker))
        for t in range(self.threads):
            self.set_up(&workers[t])
        self.job.workers = workers
        run_threads(decode_share, &self.job, self.threads)
        for t in range(self.threads):
            if workers[t].failed:
                raise MemoryError("fastrnn: no memory for the hypotheses of a search")

    cdef int set_up(self, Worker *w) except -1:
        """Give a thread its memory."""
        cdef DecodingJob *m = &self.job
        cdef fr_index rows = m.block * m.beam, V = self.decoder.vocabulary, i
        cdef Sentence *s
        w.rows = self.decoder.rows_at(NULL, rows)
        w.rows = self.decoder.rows_at(<char *>self.reserve(w.rows.bytes, 1), rows)
        if self.returns_attention:
            m.attention_bytes = w.rows.attention.row_bytes
        w.sentences = <Sentence *>self.reserve(m.block, sizeof(Sentence))
        w.continuations = <Continuation *>self.reserve(2 * m.beam, sizeof(Continuation))
        w.places = <fr_index *>self.reserve(min(m.beam + 1, V), sizeof(fr_index))
        w.drawing = self.reserve(V if m.seeds else 0, sizeof(fr_index) + m.kernels.itemsize)
        for i in range(m.block):
            s = &w.sentences[i]
            s.log_probability = <double *>self.reserve(m.beam, sizeof(double))
            s.next_log_probability = <double *>self.reserve(m.beam, sizeof(double))
            s.coverage = <double *>self.reserve(m.beam * m.covered, sizeof(double))
            s.next_coverage = <double *>self.reserve(m.beam * m.covered, sizeof(double))

    cdef tuple target(self, fr_index n, fr_index i):
        """Number i of what was found for a sentence, as a beam search returns it."""
        cdef const Shown *shown = &self.job.workers[self.job.worker[n]].shown
        cdef const Found *found = &self.job.found[n * max(self.job.n_best, 1) + i]
        cdef fr_index length = found.length, bytes = self.job.attention_bytes
        tokens, attention = np.empty(length, np.int64), None
        if length:
            memcpy(cnp.PyArray_DATA(tokens), shown.tokens + found.at, length * sizeof(cnp.int64_t))
        if self.returns_attention:
            attention = np.empty((length, self.decoder.memory_steps), self.decoder.dtype)
            if length:
                memcpy(
                    cnp.PyArray_DATA(attention), shown.attention + found.at * bytes, length * bytes
                )
        return tokens, found.score, found.log_probability, bool(found.finished), attention

    cdef list results(self):
        """The best of each sentence."""
        self.run()
        return [
            [self.target(n, i) for i in range(self.job.count[<fr_index>n])]
            for n in range(self.job.sentences)
        ]

    cdef tuple targets(self, object forced, object use_forced):
        """The one target of each sentence, as arrays; some tokens may be given."""
        cdef fr_index N = self.job.sentences
        if forced is not None:
            self.owner += (forced, use_forced)
            self.job.forced = <const cnp.int64_t *>cnp.PyArray_DATA(forced)
            self.job.use_forced = <const unsigned char *>cnp.PyArray_DATA(use_forced)
        self.run()
        found = [self.target(n, 0) for n in range(N)]
        lengths = np.array([len(own) for own, *_ in found], np.int64)
        totals = np.array([total for _, _, total, _, _ in found], np.float64)
        tokens, attention = np.zeros((N, lengths.max(initial=0)), np.int64), None
        if self.returns_attention:
            attention = np.zeros((*tokens.shape, self.decoder.memory_steps), self.decoder.dtype)
        for n, (own, _, _, _, attended) in enumerate(found):
            tokens[n, : len(own)] = own
            if attention is not None:
                attention[n, : len(own)] = attended
        return tokens, lengths, totals, attention


def decode_greedy(
    decoder, states, memory, lengths, constant, *, start, end, max_length, forced, use_forced,
    return_attention, num_threads=None,
):
    cdef Decoding call = Decoding(
        decoder, states, memory, lengths, constant, start, end, max_length, return_attention, 1, 0,
        num_threads,
    )
    return call.targets(forced, use_forced)


def decode_sample(
    decoder, states, memory, lengths, constant, *, start, end, max_length, forced, use_forced,
    return_attention, seeds, temperature, top_k, top_p, num_threads=None,
):
    cdef Decoding call = Decoding(
        decoder, states, memory, lengths, constant, start, end, max_length, return_attention, 1, 0,
        num_threads,
    )
    call.owner.append(seeds)
    call.job.seeds = <const cnp.int64_t *>cnp.PyArray_DATA(seeds)
    call.job.how = fr_draw(temperature, top_p or 0, 0, top_k or 0)
    return call.targets(forced, use_forced)


def decode_beam(
    decoder, states, memory, lengths, constant, *, start, end, max_length, beam_size, n_best,
    length_penalty, coverage_penalty, return_attention, num_threads=None,
):
    cdef Decoding call = Decoding(
        decoder, states, memory, lengths, constant, start, end, max_length, return_attention,
        beam_size, n_best, num_threads,
    )
    call.job.length_penalty, call.job.coverage_penalty = length_penalty, coverage_penalty
    call.job.covered = call.decoder.memory_steps if coverage_penalty else 0
    return call.results()
