"""A decoder with attention: the functions of `fastrnn._reference.attention_decoder`, compiled."""

cimport numpy as cnp
import numpy as np
from libc.string cimport memset

from fastrnn._kernels.attention.attention cimport (
    AttentionJob, attention_work, give_workspace, matrices, memory_share, new_job, project_memory,
    project_memory_backward, query_work, refuse_reshaped, run,
)
from fastrnn._kernels.decoder.decoder_loop cimport (
    BackwardLoop, Loop, Plane, forward_steps, run_steps_backward
)
from fastrnn._kernels.linalg.linear cimport column_sums, weight_gradient
from fastrnn._kernels.linalg.matrix cimport affine, affine_transposed
from fastrnn._kernels.linalg.packing cimport packed, packed_columns, packed_transposed
from fastrnn._kernels.recurrent.backward cimport Backward
from fastrnn._kernels.recurrent.batch_order cimport BatchOrder
from fastrnn._kernels.recurrent.cells cimport cell_weights
from fastrnn._kernels.recurrent.embedding_projection cimport (
    embedding_gradients, project_embedding, worth_projecting
)
from fastrnn._kernels.recurrent.prepacked cimport adds_inputs
from fastrnn._kernels.recurrent.recurrent cimport Recurrence
from fastrnn._kernels.recurrent.weights cimport Weights, work_of
from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.runtime.threads cimport begin_call, end_call, run_threads, threads_for
from fastrnn._kernels.simd cimport (
    fr_batch, fr_cell, fr_cell_backward, fr_index, fr_kernels, fr_layout
)

from fastrnn._kernels.pointwise.embedding import embedding_backward, embedding_forward

cnp.import_array()


def attention_decoder_forward(
    decoder, x, fed, states, memory, *, lengths, steps, drops, drop_h, bint train, num_threads=None
):
    cdef AttentionDecoder own = AttentionDecoder(decoder, x)
    if x.ndim == 2 and not own.projects:
        x = embedding_forward(own.ids.ravel(), own.embedding)
        x = x.reshape(*own.ids.shape, x.shape[1])
    return own.forward(x, fed, states, memory, lengths, steps, drops, drop_h, train, num_threads)


def attention_decoder_backward(
    dfeatures, dattention, dfed, dstates, AttentionDecoder stash not None, *, num_threads=None
):
    return stash.backward(dfeatures, dattention, dfed, dstates, num_threads)


cdef class AttentionDecoder:
    """A decoder over one batch; after a forward in training, its tape.

    The tapes are arrays (N, T, width) under the names of `Loop`. Where it pays, the rows of an
    embedding are projected ahead by the first part of Wx; the first layer is given the other part.
    """

    cdef const fr_kernels *kernels
    cdef list layers     # a Recurrence for each
    cdef object weights, score, lengths, drops, drop_h
    cdef object Wq, Wo, Wc, bc  # of the query, of the heads, of the readout, or None
    cdef fr_index heads
    cdef bint feeding, residual
    cdef object ids        # of the embedding's rows that are the inputs, or None
    cdef object embedding
    cdef bint projects     # whether the embedding is projected, rather than its rows looked up
    cdef object Wx         # what projects it
    cdef object steps    # of each sequence, or None: all
    cdef tuple memory    # keys and values, and what queries meet of them
    cdef dict tape
    cdef list referred   # arrays of the caller, with the shapes that they had in the forward

    def __cinit__(self, decoder, x):
        cdef Recurrence layer  # its batch is to come
        cells = decoder.cells
        if x.ndim == 2:
            self.ids, self.embedding = x.copy(), decoder.embedding  # a backward trusts the ids
            self.projects = worth_projecting(len(self.embedding), x.size)
        if self.projects:
            (Wx, *others), *above = cells
            self.Wx, rest = Wx[: self.embedding.shape[1]], Wx[self.embedding.shape[1] :]
            cells = [(rest, *others), *above]
        self.layers = []
        for arrays in cells:
            layer = Recurrence.__new__(Recurrence)
            layer.weights = cell_weights(decoder.row, arrays, {})
            self.layers.append(layer)
        self.kernels = layer.weights.kernels
        self.weights, self.score, self.heads = decoder.weights, decoder.score, decoder.num_heads
        self.Wq = decoder.weights[0] if decoder.weights else None
        self.Wo = decoder.weights[3] if decoder.score == "multi_head" else None
        self.Wc, self.bc = decoder.readout or (None, None)
        self.feeding, self.residual = decoder.context == "input_feeding", decoder.residual

    cdef object forward(
        self, object x, object fed, object states, object memory, object lengths, object steps,
        object drops, object drop_h, bint train, object num_threads,
    ):
        """All that `attention_decoder_forward` returns."""
        cdef Loop loop
        cdef Recurrence layer
        cdef list owner = []
        cdef int threads
        if steps is not None:
            self.steps = steps.copy()  # a backward trusts them
            if not steps.all():  # who has no step asks for nothing
                lengths = np.where(steps, memory.shape[1] if lengths is None else lengths, 0)
        self.lengths, self.drops, self.drop_h = lengths, drops, drop_h
        finals = [empty_like(state) for state in states]
        self.memory = project_memory(memory, memory, self.weights, self.score, lengths, num_threads)
        tape = self.new_tape(x, states[0], memory, train)
        for layer, inputs in zip(self.layers, tape["inputs"]):
            layer.begin(inputs, layer.weights, self.steps, False)
        self.open_loop(&loop, owner, tape)
        if not self.projects:
            loop.x = plane(owner, x)
        if self.heads > 1:
            loop.attention_job.mean = matrices(owner, tape["attention"])
        if self.feeding:
            loop.fed = plane(owner, fed[:, None])
        self.open_layers(&loop, owner, tape, states, train, num_threads)
        threads = threads_for(num_threads, self.work(&loop), loop.batch.rows)
        if loop.batch.rows:
            give_workspace(&loop.attention_job, owner, threads)
            loop.work = work_of(owner, self.kernels, loop.cells, threads)
            run_threads(forward_steps, &loop, threads)
        self.close_layers(tape, finals)
        features, attention = tape["f"], tape["attention"]
        last = self.last_fed(fed, features) if self.feeding else None
        if not train:
            return features, attention, last, finals, None
        self.tape = tape
        del tape["attention"]  # the mean of the heads'; of one head, it is "each", too
        arrays = [memory, *self.weights, self.Wc, self.bc, drops, self.embedding]
        self.referred = [(array, array.shape) for array in arrays if array is not None]
        return features.copy(), attention.copy(), last, finals, self

    cdef object last_fed(self, object fed, object features):
        """What each sequence would feed to the step after its last."""
        if self.steps is None:
            return (features[:, -1] if features.shape[1] else fed).copy()
        ran = np.flatnonzero(self.steps)
        last = fed.copy()
        last[ran] = features[ran, self.steps[ran] - 1]
        return last

    cdef dict new_tape(self, object x, object h, object memory, bint train):
        """Arrays for all that a step leaves, under the names of `Loop`.

        If not in training, all but the results have the memory of one step.
        """
        cdef Recurrence first = self.layers[0]
        N, T = x.shape[:2]
        _, S, M = memory.shape
        H, dtype = h.shape[2], memory.dtype
        widths = [first.weights.input] + [H] * (len(self.layers) - 1)
        tape = {"inputs": [step_rows((N, T, width), dtype, train) for width in widths]}
        tape["attention"] = tape["each"] = empty((N, T, S), dtype)
        if self.heads > 1:
            tape["each"] = step_rows((N * self.heads, T, S), dtype, train)
        joined = tape["joined"] = step_rows((N, T, M + H), dtype, train or self.Wc is None)
        tape["f"] = joined if self.Wc is None else empty((N, T, self.Wc.shape[1]), dtype)
        tape["heads"], tape["query"] = joined[:, :, :M], joined[:, :, M:]
        if self.Wo is not None:
            tape["heads"] = step_rows((N, T, self.Wo.shape[0]), dtype, train)
        if not self.feeding:
            tape["query"] = step_rows((N, T, H), dtype, train)
        tape["q"] = tape["query"]
        if self.weights:
            tape["q"] = step_rows((N, T, self.Wq.shape[1]), dtype, train)
        return tape

    cdef int open_loop(self, Loop *loop, list owner, dict tape) except -1:
        """What both directions read."""
        cdef BatchOrder batch = (<Recurrence>self.layers[0]).batch
        keys, _, k, v = self.memory
        first, joined, f = tape["inputs"][0], tape["joined"], tape["f"]
        M, F = keys.shape[2], f.shape[2]
        E = first.shape[2] - (F if self.feeding else M)
        memset(loop, 0, sizeof(Loop))
        loop.kernels, loop.batch, loop.order = self.kernels, batch.c, batch.order
        loop.layers, loop.feeding = len(self.layers), self.feeding
        loop.residual = adds_inputs(self.residual, loop.layers - 1)
        loop.x = loop.first_x = plane(owner, first[:, :, :E])
        loop.first_fed = plane(owner, first[:, :, E:])
        loop.joined, loop.c = plane(owner, joined), plane(owner, joined[:, :, :M])
        loop.f, loop.query = plane(owner, f), plane(owner, tape["query"])
        loop.q = plane(owner, tape["q"])
        if self.drops is not None:
            loop.drops = planes(owner, list(self.drops))
        loop.heads = plane(owner, tape["heads"])
        loop.attention_job = new_job(
            owner, self.score, self.heads, tape["q"], k, self.weights, v, self.lengths, tape["each"]
        )
        loop.attention_job.context = matrices(owner, tape["heads"], self.heads)

    cdef int open_layers(
        self, Loop *loop, list owner, dict tape, object states, bint train, object num_threads
    ) except -1:
        """What only the forward reads: the cells, and packed weights."""
        cdef const fr_kernels *k = self.kernels
        cdef Recurrence layer
        cdef Buffer cells = Buffer(loop.layers, sizeof(fr_cell))
        cdef fr_index i
        inputs, h = tape["inputs"], tape["joined"][:, :, loop.c.columns:]
        outputs = [*inputs[1:], h]
        for i in range(loop.layers):
            layer = self.layers[i]
            layer.weights.pack(num_threads)
            drop_h = None if self.drop_h is None else self.drop_h[i]
            layer.open_forward([state[i] for state in states], outputs[i], train, owner, drop_h)
            (<fr_cell *>cells.data)[i] = layer.cell
        owner.append(cells)
        if self.projects:
            self.open_embedding(loop, owner, num_threads)
        loop.step, loop.cells = layer.weights.step, <const fr_cell *>cells.data
        loop.outputs = planes(owner, outputs)
        if loop.residual:
            loop.below = plane(owner, step_rows(h.shape, h.dtype, False))
        loop.query_weights = affine(k, owner, self.Wq, None, num_threads)
        loop.heads_weights = affine(k, owner, self.Wo, None, num_threads)
        loop.readout = affine(k, owner, self.Wc, self.bc, num_threads)

    cdef int open_embedding(self, Loop *loop, list owner, object num_threads) except -1:
        """What the rows of the embedding give the first layer's steps to begin with."""
        cdef Weights weights = (<Recurrence>self.layers[0]).weights
        cdef fr_layout layout = weights.layout_x
        cdef Buffer wx = packed(self.kernels, self.Wx, &layout, num_threads)
        cdef Buffer projected = project_embedding(
            self.kernels, weights, wx, self.embedding, num_threads
        )
        owner.append(projected)
        loop.projected = <const char *>projected.data
        loop.projected_bytes = packed_columns(self.kernels, &layout) * self.kernels.itemsize
        loop.ids = plane(owner, self.ids[:, :, None])

    cdef double work(self, Loop *loop):
        """Multiply-adds of the forward; sets those of a step of one row."""
        cdef double row = 0
        cdef Recurrence layer
        cdef const AttentionJob *m = &loop.attention_job
        for layer in self.layers:
            row += layer.weights.multiply_adds()
        for matrix in (self.Wq, self.Wo, self.Wc):
            row += 0 if matrix is None else matrix.size
        loop.row_work = row + (m.heads * query_work(m, 0, m.k[0].rows) if m.sequences else 0)
        cdef const fr_batch *batch = &loop.batch
        return row * batch.offset[batch.steps] + attention_work(&loop.attention_job)

    cdef int close_layers(self, dict tape, list finals) except -1:
        """Write what past each sequence's steps is and the final states; let packed weights go."""
        cdef Recurrence layer = self.layers[0]
        layer.batch.clear_padding(tape["f"])
        layer.batch.clear_padding(tape["attention"])
        for i, layer in enumerate(self.layers):
            layer.close_forward([final[i] for final in finals])
            layer.weights.drop()

    cdef object backward(
        self, object dfeatures, object dattention, object dfed, object dstates, object num_threads
    ):
        """All that `attention_decoder_backward` returns."""
        cdef BackwardLoop b
        cdef AttentionJob *attention = &b.forward.attention_job
        cdef Recurrence layer
        cdef const fr_cell_backward *m
        cdef Call call
        cdef list owner = []
        cdef int threads
        cdef fr_index i
        for layer in self.layers:
            layer.check_shapes()
        refuse_reshaped(self.referred, "memory, weights, readout, drops and embedding")
        memset(&b, 0, sizeof(BackwardLoop))
        self.open_loop(&b.forward, owner, self.tape)
        grads = self.new_gradients(dfeatures, dattention, dfed)
        self.open_gradients(&b, owner, grads, num_threads)
        self.open_attention(&b, owner, grads)
        dcells = self.open_layers_backward(&b, owner, grads, dstates, num_threads)
        threads = threads_for(num_threads, 2 * self.work(&b.forward), b.forward.batch.rows)
        if b.forward.batch.rows:
            give_workspace(attention, owner, threads)
            b.forward.work = work_of(owner, self.kernels, b.forward.cells, threads)
            begin_call(&call, threads)
            with nogil:
                run_steps_backward(&b, &call)
            end_call(&call)
        run(attention, memory_share, attention_work(attention), num_threads)
        dstates0 = [empty_like(dstate) for dstate in dstates]
        for i in range(b.forward.layers):
            layer, m = self.layers[i], &b.cells[i].m
            layer.copy_states([dstate[i] for dstate in dstates0], m.dstate, NULL)
        dmemory, dweights = self.attention_gradients(grads, num_threads)
        dreadout = ()
        if self.Wc is not None:  # z = [c; h] Wc + bc
            joined, dz = self.flat(self.tape["joined"]), self.flat(grads["dz"])
            dreadout = weight_gradient(joined, dz, num_threads), column_sums(dz, num_threads)
        dx = self.input_gradients(&b, grads["dx"], dcells[0][0], num_threads)
        return dx, grads["dfed"], dstates0, dmemory, dcells, dweights, dreadout

    cdef object input_gradients(self, BackwardLoop *b, object dx, object dWx, object num_threads):
        """The gradient of x; or that of the embedding, and of what meets it, the first of dWx."""
        cdef Recurrence layer = self.layers[0]
        cdef fr_layout layout = layer.weights.layout_x
        cdef Buffer wx_t
        if not self.projects:
            layer.batch.clear_padding(dx)
            if self.ids is None:
                return dx
            rows = dx.reshape(-1, dx.shape[2])
            return embedding_backward(rows, self.ids.ravel(), len(self.embedding))
        dembedding = empty_like(self.embedding)
        wx_t = packed_transposed(self.kernels, self.Wx, &layout, num_threads)
        embedding_gradients(
            b.cells, wx_t.data, self.embedding, dembedding, dWx[: len(self.Wx)], num_threads
        )
        return dembedding

    cdef dict new_gradients(self, object dfeatures, object dattention, object dfed):
        """Arrays for the gradients that a step leaves, under the names of `BackwardLoop`."""
        tape, (keys, _, k, v) = self.tape, self.memory
        joined, first, dtype = tape["joined"], tape["inputs"][0], dfeatures.dtype
        N, T, F = dfeatures.shape
        hidden = (N, T, tape["query"].shape[2])
        context = (N, T, keys.shape[2])
        grads = {
            "dfeatures": dfeatures,
            "dfed": dfed.copy() if self.feeding else None,
            "djoined": step_rows(joined.shape, dtype, False),
            "dc": empty(context, dtype),
            **{name: step_rows(hidden, dtype, False) for name in ("dquery", "dy", "dbelow")},
            "dfirst": step_rows(first.shape, dtype, False),
            "dx": empty((N, T, first.shape[2] - (F if self.feeding else context[2])), dtype),
            "dattention": dattention,
            "dscore": empty((N * self.heads, T, keys.shape[1]), dtype),
            "dk": empty_like(k),
        }
        grads["dz"] = grads["djoined"] if self.Wc is None else empty((N, T, F), dtype)
        grads["dq"] = empty(tape["q"].shape, dtype) if self.weights else grads["dquery"]
        grads["dheads"] = grads["dc"]
        if self.Wo is not None:
            grads["dheads"] = empty(tape["heads"].shape, dtype)
        grads["dv"] = grads["dk"] if k is v else empty_like(v)
        if self.heads > 1 and dattention is not None:  # attention = mean of the heads'
            grads["dattention"] = dattention / self.heads
        if self.score == "additive":
            grads["dk"].fill(0)
            grads["dk_block"] = np.zeros_like(grads["dk"])
            grads["dscore_v"] = np.zeros((2, N, 1, k.shape[2]), dtype)  # sums, a block's
        return grads

    cdef int open_gradients(
        self, BackwardLoop *b, list owner, dict grads, object num_threads
    ) except -1:
        """Planes and transposed weights."""
        cdef const fr_kernels *k = self.kernels
        b.dfeatures, b.dz = plane(owner, grads["dfeatures"]), plane(owner, grads["dz"])
        b.djoined, b.dc = plane(owner, grads["djoined"]), plane(owner, grads["dc"])
        b.djoined_c = plane(owner, grads["djoined"][:, :, : b.dc.columns])
        b.djoined_h = plane(owner, grads["djoined"][:, :, b.dc.columns :])
        b.dq, b.dquery = plane(owner, grads["dq"]), plane(owner, grads["dquery"])
        b.dy, b.dbelow = plane(owner, grads["dy"]), plane(owner, grads["dbelow"])
        b.dx, b.dheads = plane(owner, grads["dx"]), plane(owner, grads["dheads"])
        b.dfirst_x = plane(owner, grads["dfirst"][:, :, : b.dx.columns])
        b.dfirst_fed = plane(owner, grads["dfirst"][:, :, b.dx.columns :])
        if self.feeding:
            b.dfed = plane(owner, same_rows(grads["dfed"], b.forward.batch.steps))
        b.query_weights_t = affine_transposed(k, owner, self.Wq, num_threads)
        b.heads_weights_t = affine_transposed(k, owner, self.Wo, num_threads)
        b.readout_t = affine_transposed(k, owner, self.Wc, num_threads)

    cdef int open_attention(self, BackwardLoop *b, list owner, dict grads) except -1:
        cdef AttentionJob *m = &b.forward.attention_job
        m.dcontext = matrices(owner, grads["dheads"], self.heads)
        m.dscore, m.dq = matrices(owner, grads["dscore"]), matrices(owner, grads["dq"], self.heads)
        m.dk = matrices(owner, grads["dk"], self.heads)
        m.dvalues = matrices(owner, grads["dv"], self.heads)
        m.shared = grads["dk"] is grads["dv"]
        if self.steps is not None:
            m.steps = <const cnp.int64_t *>cnp.PyArray_DATA(self.steps)
        if grads["dattention"] is not None:
            m.dattention = matrices(owner, grads["dattention"])
        if self.score == "additive":
            b.dscore_k, m.dk = plane(owner, grads["dk"]), matrices(owner, grads["dk_block"])
            b.dscore_v = plane(owner, grads["dscore_v"][0])
            m.dv = matrices(owner, grads["dscore_v"][1])

    cdef list open_layers_backward(
        self, BackwardLoop *b, list owner, dict grads, object dstates, object num_threads
    ):
        """The cells; returns the gradients of their weights, which the loop fills."""
        cdef Recurrence layer
        cdef Buffer cells = Buffer(b.forward.layers, sizeof(Backward))
        cdef Buffer steps = Buffer(b.forward.layers, sizeof(fr_cell))
        cdef fr_index i
        b.cells, b.forward.cells = <Backward *>cells.data, <fr_cell *>steps.data
        owner += (cells, steps)
        dcells = []
        for i in range(b.forward.layers):
            layer = self.layers[i]
            ahead = len(self.Wx) if i == 0 and self.projects else 0
            dWx, *others = layer.weights.gradients(ahead)
            dcells.append((dWx, *others))
            layer.open_backward(
                &b.cells[i], grads["dy"], grads["dbelow"] if i else grads["dfirst"],
                [dstate[i] for dstate in dstates], (dWx[ahead:], *others), owner, num_threads,
            )
            if ahead:
                ids = layer.view(owner, self.ids[:, :, None])
                layer.open_sums(&b.cells[i], owner, len(self.embedding), self.ids, ids)
            (<fr_cell *>steps.data)[i] = layer.cell
            b.row_bytes = max(b.row_bytes, b.cells[i].row_bytes)
        return dcells

    cdef tuple attention_gradients(self, dict grads, object num_threads):
        """Gradients of the memory and of the weights of the score."""
        keys, values, k, v = self.memory
        dkeys, dvalues, dweights = project_memory_backward(
            grads["dk"], grads["dv"], keys, values, self.weights, self.score, self.lengths,
            num_threads,
        )
        dmemory = dkeys if k is v else np.add(dkeys, dvalues, out=dkeys)
        if not self.weights:
            return dmemory, ()
        query, dq = self.flat(self.tape["query"]), self.flat(grads["dq"])
        dWq = weight_gradient(query, dq, num_threads)  # q = query Wq
        last = ()
        if self.score == "additive":
            last = (column_sums(grads["dscore_v"][0, :, 0], num_threads),)
        if self.Wo is not None:  # c = heads Wo
            heads, dc = self.flat(self.tape["heads"]), self.flat(grads["dc"])
            last = (weight_gradient(heads, dc, num_threads),)
        return dmemory, (dWq, *dweights, *last)

    cdef object flat(self, object array):
        """The rows of all steps that there are, of an array (N, T, width), as a matrix."""
        if self.steps is None:
            return array.reshape(-1, array.shape[2])
        return array[np.arange(array.shape[1]) < self.steps[:, None]]


cdef object same_rows(object rows, fr_index steps):
    """The same memory, rows (N, width), for every step."""
    shape, strides = (rows.shape[0], steps, rows.shape[1]), (rows.strides[0], 0, rows.strides[1])
    return np.ndarray(shape, rows.dtype, rows, 0, strides)


cdef object step_rows(tuple shape, object dtype, bint each):
    """An array (N, T, width) with memory for each step, or with the same for all."""
    return empty(shape, dtype) if each else same_rows(empty(shape[::2], dtype), shape[1])


cdef Plane plane(list owner, cnp.ndarray array):
    """A plane on an array (N, T, width), which lives as long as `owner`."""
    owner.append(array)
    return Plane(
        cnp.PyArray_BYTES(array), array.shape[2], cnp.PyArray_STRIDE(array, 0),
        cnp.PyArray_STRIDE(array, 1),
    )


cdef const Plane *planes(list owner, list arrays) except NULL:
    cdef Buffer buffer = Buffer(len(arrays), sizeof(Plane))
    cdef fr_index i
    for i in range(len(arrays)):
        (<Plane *>buffer.data)[i] = plane(owner, arrays[i])
    owner.append(buffer)
    return <const Plane *>buffer.data
