"""One step of a decoder for many rows, as `fastrnn._reference.decoder_step` defines it.

The cells run as `Prepacked` runs them, attention sentence by sentence, and everything else as
products over all rows. A row's numbers do not depend on the other rows.
"""

cimport numpy as cnp
from libc.string cimport memcpy, memset

from fastrnn._kernels.attention.attention cimport (
    attend, average_heads, keys_of, memory_job, project_memory
)
from fastrnn._kernels.linalg.matrix cimport (
    Matrix, affine, apply, as_matrix, packed_bytes, row_of, some_rows, workspace_at, workspace_bytes
)
from fastrnn._kernels.recurrent.prepacked cimport StepMemory, rows_of_state
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.runtime.memory cimport carve
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups
from fastrnn._kernels.simd cimport fr_cell, fr_index

from fastrnn._kernels.recurrent.layer import recurrent_freeze

cnp.import_array()


cdef Matrix carve_matrix(
    char **at, fr_index rows, fr_index columns, fr_index itemsize
) noexcept nogil:
    return Matrix(carve(at, rows * columns * itemsize), rows, columns, columns * itemsize)


cdef inline Matrix columns_of(
    Matrix matrix, fr_index part, fr_index parts, fr_index itemsize
) noexcept nogil:
    """One of so many equal parts of the columns."""
    cdef fr_index columns = matrix.columns // parts
    return Matrix(matrix.data + part * columns * itemsize, matrix.rows, columns, matrix.row_bytes)


cdef class StepDecoder:
    """A decoder with its weights packed once, and what each of its sentences has."""

    def __cinit__(self, decoder, list states, memory, lengths, constant, num_threads):
        cdef fr_index P = 0 if constant is None else constant.shape[1]
        W, b = decoder.output
        self.owner = [states, decoder, constant]
        self.kernels, self.dtype = kernels_for(W.itemsize), W.dtype
        self.stack = recurrent_freeze(
            decoder.row, decoder.cells, options={}, directions=1,
            residual=decoder.residual, owners=(), num_threads=num_threads,
        )
        self.sentences, self.vocabulary = states[0].shape[1], W.shape[1]
        self.features = W.shape[0] - P
        self.embedding = as_matrix(decoder.embedding)
        # Where there is none, its rows are of no width, and copied from anywhere.
        self.constant = as_matrix(decoder.embedding if constant is None else constant)
        self.constant.columns = P
        self.constant.row_bytes = P * self.kernels.itemsize
        for i, state in enumerate(states):
            self.states[<fr_index>i] = cnp.PyArray_BYTES(state)
        self.attends = decoder.context is not None
        self.attends_before = decoder.context == "input"
        self.feeds_features = decoder.context == "input_feeding"
        self.output = affine(self.kernels, self.owner, W, b, num_threads)
        Wc, bc = decoder.readout or (None, None)
        self.readout = affine(self.kernels, self.owner, Wc, bc, num_threads)
        self.row_work = self.stack.row_work + W.size
        if self.attends:
            self.attend_to(decoder, memory, lengths, num_threads)

    cdef int attend_to(
        self, object decoder, object memory, object lengths, object num_threads
    ) except -1:
        """Take the memory in, its keys projected once for all steps."""
        weights, score = decoder.weights, decoder.score
        _, _, keys, values = project_memory(memory, memory, weights, score, lengths, num_threads)
        if weights:
            self.query = affine(self.kernels, self.owner, weights[0], None, num_threads)
        if score == "multi_head":
            self.heads_output = affine(self.kernels, self.owner, weights[3], None, num_threads)
        self.score = memory_job(
            self.owner, score, decoder.num_heads, keys, weights, values, lengths
        )
        self.memory_steps, self.memory_size = memory.shape[1], memory.shape[2]
        self.owner.append(lengths)

    cdef StepRows rows_at(self, char *memory, fr_index most) noexcept nogil:
        """Lay out the memory for steps of at most so many rows; `bytes` says how much it is."""
        cdef StepRows rows
        cdef char *at = memory
        cdef fr_index itemsize = self.kernels.itemsize, P = self.constant.columns, side
        cdef fr_index state_bytes = self.stack.memory_at(NULL, most).bytes
        memset(&rows, 0, sizeof(rows))
        rows.most = most
        rows.token = <cnp.int64_t *>carve(&at, most * sizeof(cnp.int64_t))
        rows.sentence = <fr_index *>carve(&at, most * sizeof(fr_index))
        rows.parent = <fr_index *>carve(&at, most * sizeof(fr_index))
        rows.state, rows.state_before = carve(&at, state_bytes), carve(&at, state_bytes)
        rows.features = carve_matrix(&at, most, self.features + P, itemsize)
        rows.features_before = carve_matrix(&at, most, self.features + P, itemsize)
        rows.x = carve_matrix(&at, most, self.stack.input, itemsize)
        rows.query = carve_matrix(&at, most, self.query.columns, itemsize)
        rows.parts = <Matrix *>carve(&at, 3 * self.score.heads * sizeof(Matrix))
        if self.score.heads > 1:
            rows.each = carve_matrix(&at, self.score.heads * most, self.memory_steps, itemsize)
        rows.contexts = carve_matrix(&at, most, self.heads_output.depth, itemsize)
        if self.readout.W:
            rows.joined = carve_matrix(&at, most, self.readout.depth, itemsize)
        rows.attention = carve_matrix(&at, most, self.memory_steps, itemsize)
        rows.logits = carve_matrix(&at, most, self.vocabulary, itemsize)
        side = max(most, self.memory_steps, 1)
        rows.work = workspace_at(at, side)
        at += workspace_bytes(side, packed_bytes(
            self.kernels, self.memory_steps, max(self.memory_size, self.heads_output.depth)
        ))
        rows.bytes = at - memory
        return rows

    cdef void step(self, StepRows *rows) noexcept nogil:
        """Feed each row its token: leaves its logits, its attention and its state."""
        cdef StepMemory memory
        rows.state, rows.state_before = rows.state_before, rows.state
        rows.features, rows.features_before = rows.features_before, rows.features
        self.carry_states(rows)
        self.make_inputs(rows)
        memory = self.stack.memory_at(rows.state, rows.count)
        self.stack.run(&memory, rows.count, rows.x.data, ThreadGroups(1, 1, 0), rows.call)
        self.make_features(rows)
        cdef Matrix features = rows.features
        features.rows = rows.before_count = rows.count
        apply(self.kernels, &self.output, rows.work, features, rows.logits, rows.call)

    cdef void carry_states(self, StepRows *rows) noexcept nogil:
        """Give each row the state that its parent's step left, or its sentence's first."""
        cdef StepMemory now = self.stack.memory_at(rows.state, rows.count)
        cdef StepMemory before = self.stack.memory_at(rows.state_before, rows.before_count)
        cdef const fr_cell *m = self.stack.prototype
        cdef fr_index size = m.hidden * self.kernels.itemsize, bytes = m.ld * self.kernels.itemsize
        cdef fr_index cell, row, state, parent, filled
        cdef char *to
        cdef const char *source
        for row in range(rows.count):
            parent = rows.parent[row]
            for state in range(self.stack.states):
                for cell in range(self.stack.count):
                    to = rows_of_state(&now, state, cell, False) + row * bytes
                    if parent >= 0:
                        source, filled = rows_of_state(&before, state, cell, True), bytes
                        source += parent * bytes
                    else:
                        source, filled = self.states[state], size
                        source += (cell * self.sentences + rows.sentence[row]) * size
                    memcpy(to, source, filled)
                    memset(to + filled, 0, bytes - filled)

    cdef void make_inputs(self, StepRows *rows) noexcept nogil:
        """x = [embedding[token]; constant; what was fed back or the context]."""
        cdef fr_index itemsize = self.kernels.itemsize, row
        cdef fr_index E = self.embedding.columns * itemsize, P = self.constant.columns * itemsize
        cdef fr_index F = self.features * itemsize
        cdef char *x
        for row in range(rows.count):
            x = row_of(rows.x, row)
            memcpy(x, row_of(self.embedding, rows.token[row]), E)
            memcpy(x + E, row_of(self.constant, rows.sentence[row]), P)
            if self.feeds_features and rows.parent[row] < 0:
                memset(x + E + P, 0, F)
            elif self.feeds_features:
                memcpy(x + E + P, row_of(rows.features_before, rows.parent[row]), F)
        if self.attends_before:
            self.attend_rows(rows, self.top_state(rows, False), Matrix(
                rows.x.data + E + P, rows.count, self.memory_size, rows.x.row_bytes
            ))

    cdef Matrix top_state(self, StepRows *rows, bint after) noexcept nogil:
        """h of the top cell before this step, or after it with what residual connections add."""
        cdef StepMemory memory = self.stack.memory_at(rows.state, rows.count)
        cdef const fr_cell *m = self.stack.prototype
        cdef char *h = rows_of_state(&memory, 0, self.stack.count - 1, after)
        if after and self.stack.residual:
            h = memory.sum
        return Matrix(h, rows.count, m.hidden, m.ld * self.kernels.itemsize)

    cdef void make_features(self, StepRows *rows) noexcept nogil:
        """[c; h], or their readout, then the constant."""
        cdef Matrix h = self.top_state(rows, True)
        cdef Matrix joined = rows.joined if self.readout.W else rows.features
        cdef fr_index itemsize = self.kernels.itemsize, row
        cdef fr_index M = self.memory_size * itemsize, F = self.features * itemsize
        cdef fr_index P = self.constant.columns * itemsize
        cdef const char *context = rows.x.data + rows.x.row_bytes - M
        cdef char *f
        if self.attends and not self.attends_before:
            self.attend_rows(
                rows, h, Matrix(joined.data, rows.count, self.memory_size, joined.row_bytes)
            )
        for row in range(rows.count):
            if self.attends_before:
                memcpy(row_of(joined, row), context + row * rows.x.row_bytes, M)
            memcpy(row_of(joined, row) + M, row_of(h, row), h.columns * itemsize)
        if self.readout.W:
            joined.rows = rows.count
            apply(self.kernels, &self.readout, rows.work, joined, rows.features, rows.call)
        for row in range(rows.count):
            f = row_of(rows.features, row)
            if self.readout.W:
                self.kernels.tanh(f, f, self.features)
            memcpy(f + F, row_of(self.constant, rows.sentence[row]), P)

    cdef void attend_rows(self, StepRows *rows, Matrix query, Matrix context) noexcept nogil:
        """Attend with the query of each row; leaves the attention, too."""
        cdef fr_index heads = self.score.heads, itemsize = self.kernels.itemsize
        cdef fr_index begin = 0, end, head, n
        cdef Matrix *q = rows.parts
        cdef Matrix *attention = rows.parts + heads
        cdef Matrix *contexts = rows.parts + 2 * heads
        cdef Matrix joined = rows.contexts if self.heads_output.W else context
        cdef AttentionJob job = self.score
        job.q, job.attention, job.context, job.mean = q, attention, contexts, &rows.attention
        joined.rows = rows.count
        if self.query.W:
            apply(self.kernels, &self.query, rows.work, query, rows.query, rows.call)
            query = rows.query
        for head in range(heads):
            q[head] = columns_of(query, head, heads, itemsize)
            contexts[head] = columns_of(joined, head, heads, itemsize)
            attention[head] = rows.attention if heads == 1 else some_rows(
                rows.each, head * rows.most, (head + 1) * rows.most
            )
        while begin < rows.count:
            end, n = begin + 1, rows.sentence[begin]
            while end < rows.count and rows.sentence[end] == n:
                end += 1
            job.k, job.values = self.score.k + n * heads, self.score.values + n * heads
            for head in range(heads):
                attend(&job, head, keys_of(&self.score, n), begin, end, rows.work, rows.call)
            if heads > 1:
                average_heads(&job, 0, begin, end)
            begin = end
        if self.heads_output.W:
            apply(self.kernels, &self.heads_output, rows.work, joined, context, rows.call)
