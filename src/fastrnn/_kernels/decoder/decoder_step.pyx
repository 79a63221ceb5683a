"""One step of a decoder for many rows, as `fastrnn._reference.decoder_step` defines it.

The cells run as `Prepacked` runs them, attention sentence by sentence, and everything else as products
over all rows. A row's numbers do not depend on the other rows.
"""

cimport numpy as cnp
import numpy as np
from libc.string cimport memcpy, memset

from fastrnn._kernels.attention.attention cimport (
    attend, average_heads, keys_of, memory_job, project_memory
)
from fastrnn._kernels.runtime.cpu cimport kernels_for
from fastrnn._kernels.recurrent.prepacked cimport Prepacked, StepMemory
from fastrnn._kernels.linalg.matrix cimport (
    Matrix, affine, apply, as_matrix, packed_bytes, workspace_at, workspace_bytes
)
from fastrnn._kernels.runtime.memory cimport carve
from fastrnn._kernels.simd cimport fr_cell, fr_index
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups


from fastrnn._cells import CELLS
from fastrnn._kernels.recurrent.layer import recurrent_freeze

cnp.import_array()


cdef Matrix carve_matrix(
    char **at, fr_index rows, fr_index columns, fr_index itemsize
) noexcept nogil:
    return Matrix(carve(at, rows * columns * itemsize), rows, columns, columns * itemsize)


cdef inline char *row_of(Matrix matrix, fr_index row) noexcept nogil:
    return matrix.data + row * matrix.row_bytes


cdef Matrix some_rows(Matrix matrix, fr_index begin, fr_index end) noexcept nogil:
    return Matrix(row_of(matrix, begin), end - begin, matrix.columns, matrix.row_bytes)


cdef inline Matrix columns_of(
    Matrix matrix, fr_index part, fr_index parts, fr_index itemsize
) noexcept nogil:
    """One of so many equal parts of the columns."""
    cdef fr_index columns = matrix.columns // parts
    return Matrix(
        matrix.data + part * columns * itemsize, matrix.rows, columns, matrix.row_bytes
    )


cdef class StepDecoder:
    """A decoder with its weights packed once, and what each of its sentences has."""

    def __cinit__(self, decoder, list states, memory, lengths, constant, num_threads):
        cdef fr_index P = 0 if constant is None else constant.shape[1]
        W, b = decoder.output
        self.owner = [states, decoder, constant]
        self.kernels = kernels_for(W.itemsize)
        self.stack = recurrent_freeze(
            CELLS[decoder.cell], decoder.cells, options={}, directions=1,
            residual=decoder.residual, owners=(), num_threads=num_threads,
        )
        self.sentences, self.vocabulary = states[0].shape[1], W.shape[1]
        self.features = W.shape[0] - P
        self.embedding = as_matrix(decoder.embedding)
        # Where there is none, its rows are of no width, and copied from anywhere.
        self.constant = as_matrix(decoder.embedding if constant is None else constant)
        self.constant.columns = P
        self.constant.row_bytes = P * self.kernels.itemsize
        self.h = cnp.PyArray_BYTES(states[0])
        self.c = cnp.PyArray_BYTES(states[1]) if len(states) == 2 else NULL
        self.attends = decoder.context is not None
        self.attends_before = decoder.context == "input"
        self.feeds_features = decoder.context == "input_feeding"
        self.output = affine(self.kernels, self.owner, W, b, num_threads)
        if decoder.readout is not None:
            Wc, bc = decoder.readout
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
            self.heads_output = affine(
                self.kernels, self.owner, weights[3], None, num_threads
            )
        self.score = memory_job(
            self.owner, score, decoder.num_heads, keys, weights, values, lengths
        )
        self.memory_steps, self.memory_size = memory.shape[1], memory.shape[2]
        self.owner.append(lengths)

    cdef object dtype(self):
        return np.float32 if self.kernels.itemsize == 4 else np.float64

    cdef StepRows rows_at(self, char *memory, fr_index most) noexcept nogil:
        """Lay out the memory for steps of at most so many rows; `bytes` says how much it is."""
        cdef StepRows rows
        cdef char *at = memory
        cdef fr_index itemsize = self.kernels.itemsize, P = self.constant.columns, S, side
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
        S = self.memory_steps
        side = max(most, S, 1)
        rows.work = workspace_at(at, side)
        at += workspace_bytes(side, packed_bytes(
            self.kernels, S, max(self.memory_size, self.heads_output.depth)
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
        self.stack.run(&memory, rows.count, rows.x.data, ThreadGroups(1, 1, 0))
        self.make_features(rows)
        apply(
            self.kernels, &self.output, rows.work, some_rows(rows.features, 0, rows.count),
            rows.logits,
        )
        rows.before_count = rows.count

    cdef void carry_states(self, StepRows *rows) noexcept nogil:
        """Give each row the state that its parent's step left, or its sentence's first."""
        cdef StepMemory now = self.stack.memory_at(rows.state, rows.count)
        cdef StepMemory before = self.stack.memory_at(rows.state_before, rows.before_count)
        cdef const fr_cell *m = <const fr_cell *>self.stack.prototypes.data
        cdef fr_index bytes = m.ld * self.kernels.itemsize, cell, row, parent
        for row in range(rows.count):
            parent = rows.parent[row]
            if parent < 0:
                self.begin_state(rows, row)
                continue
            for cell in range(self.stack.count):
                memcpy(
                    now.h + 2 * cell * now.state_bytes + row * bytes,
                    before.h + (2 * cell + 1) * before.state_bytes + parent * bytes, bytes,
                )
                if self.c:
                    memcpy(
                        now.c + cell * now.state_bytes + row * bytes,
                        before.c + cell * before.state_bytes + parent * bytes, bytes,
                    )

    cdef void begin_state(self, StepRows *rows, fr_index row) noexcept nogil:
        """Give a row the first state of its sentence."""
        cdef StepMemory now = self.stack.memory_at(rows.state, rows.count)
        cdef const fr_cell *m = <const fr_cell *>self.stack.prototypes.data
        cdef fr_index bytes = m.ld * self.kernels.itemsize
        cdef fr_index size = m.hidden * self.kernels.itemsize, cell, source
        cdef char *to
        for cell in range(self.stack.count):
            source = (cell * self.sentences + rows.sentence[row]) * size
            to = now.h + 2 * cell * now.state_bytes + row * bytes
            memcpy(to, self.h + source, size)
            memset(to + size, 0, bytes - size)
            if self.c:
                to = now.c + cell * now.state_bytes + row * bytes
                memcpy(to, self.c + source, size)
                memset(to + size, 0, bytes - size)

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
        """h of the top cell, before this step or after it."""
        cdef StepMemory memory = self.stack.memory_at(rows.state, rows.count)
        cdef const fr_cell *m = <const fr_cell *>self.stack.prototypes.data
        cdef fr_index slot = 2 * (self.stack.count - 1) + after
        return Matrix(
            memory.h + slot * memory.state_bytes, rows.count, m.hidden, m.ld * self.kernels.itemsize
        )

    cdef Matrix top_output(self, StepRows *rows) noexcept nogil:
        """h of the top cell after this step, with what residual connections add."""
        cdef Matrix output = self.top_state(rows, True)
        if self.stack.residual:
            output.data = self.stack.memory_at(rows.state, rows.count).sum
        return output

    cdef void make_features(self, StepRows *rows) noexcept nogil:
        """[c; h], or their readout, then the constant."""
        cdef Matrix h = self.top_output(rows)
        cdef Matrix joined = rows.joined if self.readout.W else rows.features
        cdef fr_index itemsize = self.kernels.itemsize, row
        cdef fr_index M = self.memory_size * itemsize, F = self.features * itemsize
        cdef fr_index P = self.constant.columns * itemsize
        cdef const char *context = rows.x.data + rows.x.row_bytes - M
        if self.attends and not self.attends_before:
            self.attend_rows(
                rows, h, Matrix(joined.data, rows.count, self.memory_size, joined.row_bytes)
            )
        for row in range(rows.count):
            if self.attends_before:
                memcpy(row_of(joined, row), context + row * rows.x.row_bytes, M)
            memcpy(row_of(joined, row) + M, row_of(h, row), h.columns * itemsize)
        if self.readout.W:
            apply(
                self.kernels, &self.readout, rows.work, some_rows(joined, 0, rows.count),
                rows.features,
            )
        for row in range(rows.count):
            if self.readout.W:
                self.kernels.tanh(
                    row_of(rows.features, row), row_of(rows.features, row), self.features
                )
            memcpy(row_of(rows.features, row) + F, row_of(self.constant, rows.sentence[row]), P)

    cdef void attend_rows(self, StepRows *rows, Matrix query, Matrix context) noexcept nogil:
        """Attend with the query of each row; leaves the attention, too."""
        cdef Matrix contexts = context
        cdef fr_index begin = 0, end
        if self.query.W:
            apply(self.kernels, &self.query, rows.work, query, rows.query)
            query = rows.query
        if self.heads_output.W:
            contexts = some_rows(rows.contexts, 0, rows.count)
        while begin < rows.count:
            end = begin + 1
            while end < rows.count and rows.sentence[end] == rows.sentence[begin]:
                end += 1
            self.attend_sentence(rows, begin, end, query, contexts)
            begin = end
        if self.heads_output.W:
            apply(self.kernels, &self.heads_output, rows.work, contexts, context)

    cdef void attend_sentence(
        self, StepRows *rows, fr_index begin, fr_index end, Matrix query, Matrix contexts
    ) noexcept nogil:
        """Attend with the queries of one sentence's rows, in all heads."""
        cdef fr_index heads = self.score.heads, n = rows.sentence[begin], head
        cdef fr_index itemsize = self.kernels.itemsize
        cdef Matrix *q = rows.parts
        cdef Matrix *attention = rows.parts + heads
        cdef Matrix *context = rows.parts + 2 * heads
        cdef Matrix mean = some_rows(rows.attention, begin, end)
        cdef AttentionJob job = self.score
        job.k, job.values = self.score.k + n * heads, self.score.values + n * heads
        job.q, job.attention, job.context, job.mean = q, attention, context, &mean
        for head in range(heads):
            q[head] = columns_of(some_rows(query, begin, end), head, heads, itemsize)
            context[head] = columns_of(some_rows(contexts, begin, end), head, heads, itemsize)
            attention[head] = mean
            if heads > 1:
                attention[head] = some_rows(
                    rows.each, head * rows.most + begin, head * rows.most + end
                )
            attend(&job, head, keys_of(&self.score, n), rows.work)
        if heads > 1:
            average_heads(&job, 0)
