"""A decoder with attention: the functions of `fastrnn._reference.attention_decoder`, compiled."""

cimport numpy as cnp
import numpy as np
from libc.string cimport memset

from fastrnn._kernels.attention cimport (
    Job, attention_work, give_workspace, matrices, meet_memory, meet_memory_backward, memory_share,
    new_job, refuse_reshaped, run,
)
from fastrnn._kernels.backward cimport Backward
from fastrnn._kernels.decoder_loop cimport (
    BackwardLoop, Loop, Plane, forward_steps, run_steps_backward
)
from fastrnn._kernels.gru cimport GRURecurrence, gru_weights
from fastrnn._kernels.linear cimport column_sums, weight_gradient
from fastrnn._kernels.lstm cimport LSTMRecurrence, lstm_weights
from fastrnn._kernels.matrix cimport Matrix, affine, affine_transposed
from fastrnn._kernels.memory cimport Buffer, empty, empty_like
from fastrnn._kernels.recurrent cimport Recurrence
from fastrnn._kernels.rnn cimport RNNRecurrence, rnn_weights
from fastrnn._kernels.simd cimport fr_cell, fr_index, fr_kernels
from fastrnn._kernels.threads cimport share_out, threads_for
from fastrnn._kernels.weights cimport Weights

cnp.import_array()


def attention_decoder_forward(
    x, fed, states, memory, cells, weights, readout, *, cell, score, heads, context, lengths,
    bint residual, drops, drop_h, bint train, num_threads=None,
):
    cdef Decoder decoder = Decoder(
        cells, weights, readout, drops, drop_h, cell, score, heads, context == "input_feeding",
        residual,
    )
    return decoder.forward(x, fed, states, memory, lengths, train, num_threads)


def attention_decoder_backward(
    dfeatures, dalignment, dfed_last, dstates, Decoder stash not None, *, num_threads=None
):
    return stash.backward(dfeatures, dalignment, dfed_last, dstates, num_threads)


cdef class Decoder:
    """A decoder over one batch; after a forward in training, its tape.

    The tapes are arrays (N, T, width) under the names of `Loop`.
    """

    cdef const fr_kernels *kernels
    cdef list layers     # a Recurrence for each
    cdef object weights
    cdef object readout
    cdef object drops
    cdef object drop_h
    cdef object score
    cdef fr_index heads
    cdef bint feeding
    cdef bint residual
    cdef object lengths
    cdef tuple memory    # keys and values, and what queries meet of them
    cdef dict tape
    cdef list referred   # arrays of the caller, with the shapes that they had in the forward

    def __cinit__(
        self, cells, weights, readout, drops, drop_h, cell, score, heads, bint feeding,
        bint residual,
    ):
        self.layers = [_new_layer(cell, *arrays) for arrays in cells]
        self.kernels = (<Recurrence>self.layers[0]).weights.kernels
        self.weights, self.readout = weights, readout
        self.drops, self.drop_h = drops, drop_h
        self.score, self.heads = score, heads
        self.feeding, self.residual = feeding, residual

    cdef object forward(
        self, object x, object fed, object states, object memory, object lengths, bint train,
        object num_threads,
    ):
        """All that `attention_decoder_forward` returns."""
        cdef Loop loop
        cdef list owner = []
        cdef int threads
        finals = [empty_like(state) for state in states]
        self.lengths = lengths
        self.memory = meet_memory(memory, memory, self.weights, self.score, lengths, num_threads)
        tape = self.new_tape(x, states[0], memory, train)
        self.open_loop(&loop, owner, tape)
        loop.x = plane(owner, x)
        if self.heads > 1:
            loop.attention.mean = matrices(owner, tape["alignment"])
        if self.feeding:
            loop.fed = plane(owner, fed[:, None])
        self.open_layers(&loop, owner, tape, states, train, num_threads)
        threads = threads_for(num_threads, self.work(&loop), loop.rows)
        if loop.rows:
            give_memory(&loop, owner, threads)
            with nogil:
                share_out(forward_steps, &loop, threads)
        self.close_layers(finals)
        features, alignment = tape["f"], tape["alignment"]
        last = None
        if self.feeding:
            last = (features[:, -1] if x.shape[1] else fed).copy()
        if not train:
            return features, alignment, last, finals, None
        self.keep(tape, memory)
        return features, alignment, last, finals, self

    cdef dict new_tape(self, object x, object h, object memory, bint train):
        """Arrays for all that a step leaves, under the names of `Loop`.

        If not in training, all but the results have the memory of one step.
        """
        cdef Recurrence first = self.layers[0]
        N, T, _ = x.shape
        _, S, M = memory.shape
        H, L, dtype = h.shape[2], len(self.layers), x.dtype
        tape = {"alignment": empty((N, T, S), dtype)}
        inputs = [tape_rows((N, T, first.weights.input()), dtype, train)]
        tape["inputs"] = inputs + [tape_rows((N, T, H), dtype, train) for _ in range(L - 1)]
        if self.readout is None:
            tape["joined"] = tape["f"] = empty((N, T, M + H), dtype)
        else:
            tape["joined"] = tape_rows((N, T, M + H), dtype, train)
            tape["f"] = empty((N, T, self.readout[0].shape[1]), dtype)
        if self.feeding:
            tape["query"] = tape["joined"][:, :, M:]
        else:
            tape["query"] = tape_rows((N, T, H), dtype, train)
        tape["q"] = tape["query"]
        if self.weights:
            tape["q"] = tape_rows((N, T, self.weights[0].shape[1]), dtype, train)
        if self.score == "multi_head":
            tape["heads"] = tape_rows((N, T, self.weights[3].shape[0]), dtype, train)
        if self.heads > 1:
            tape["each"] = tape_rows((N * self.heads, T, S), dtype, train)
        return tape

    cdef int open_loop(self, Loop *loop, list owner, dict tape) except -1:
        """What both directions read."""
        keys, _, k, v = self.memory
        first, joined, f = tape["inputs"][0], tape["joined"], tape["f"]
        M, (N, T, F) = keys.shape[2], f.shape
        E = first.shape[2] - (F if self.feeding else M)
        memset(loop, 0, sizeof(Loop))
        loop.kernels, loop.rows, loop.steps = self.kernels, N, T if N else 0
        loop.layers, loop.feeding = len(self.layers), self.feeding
        loop.residual = self.residual and loop.layers > 2
        loop.first_x = plane(owner, first[:, :, :E])
        loop.first_second = plane(owner, first[:, :, E:])
        loop.joined, loop.c = plane(owner, joined), plane(owner, joined[:, :, :M])
        loop.f, loop.query = plane(owner, f), plane(owner, tape["query"])
        loop.q = plane(owner, tape["q"])
        if self.drops is not None:
            loop.drops = planes(owner, list(self.drops))
        each = tape["each"] if self.heads > 1 else tape["alignment"]
        loop.attention = new_job(
            owner, self.score, self.heads, tape["q"], k, self.weights, v, self.lengths, each
        )
        context = joined[:, :, :M]
        if self.score == "multi_head":
            context = tape["heads"]
            loop.heads = plane(owner, context)
        loop.attention.context = matrices(owner, context, self.heads)
        return 0

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
            layer.begin(inputs[i], layer.weights, None, False)
            drop_h = None if self.drop_h is None else self.drop_h[i]
            layer.open_forward([state[i] for state in states], outputs[i], train, owner, drop_h)
            (<fr_cell *>cells.data)[i] = layer.cell
        owner.append(cells)
        loop.step, loop.cells = layer.weights.step, <const fr_cell *>cells.data
        loop.outputs = planes(owner, outputs)
        if loop.residual:
            loop.below = plane(owner, scratch(h.shape, h.dtype))
        if self.weights:
            loop.query_weights = affine(k, owner, self.weights[0], None, num_threads)
        if self.score == "multi_head":
            loop.heads_weights = affine(k, owner, self.weights[3], None, num_threads)
        if self.readout is not None:
            loop.readout = affine(k, owner, self.readout[0], self.readout[1], num_threads)
        return 0

    cdef double work(self, const Loop *loop):
        """Multiply-adds of the forward."""
        cdef double row = 0
        cdef Recurrence layer
        for layer in self.layers:
            row += layer.packed_weights()
        for matrix in (*self.weights[:1], *self.weights[3:], *(self.readout or ())[:1]):
            row += matrix.size
        return row * loop.rows * loop.steps + attention_work(&loop.attention)

    cdef int close_layers(self, list finals) except -1:
        """Write the final states and let the packed weights go."""
        cdef Recurrence layer
        for i, layer in enumerate(self.layers):
            layer.close_forward([final[i] for final in finals])
            layer.weights.drop()
        return 0

    cdef int keep(self, dict tape, object memory) except -1:
        """Keep the tape; what was returned is the caller's and is copied."""
        tape["f"] = tape["f"].copy()
        if self.readout is None:
            tape["joined"] = tape["f"]
        mean = tape.pop("alignment")
        if self.heads == 1:
            tape["alignment"] = mean.copy()
        if self.feeding:
            tape["query"] = tape["joined"][:, :, memory.shape[2]:]
        if not self.weights:
            tape["q"] = tape["query"]
        self.tape = tape
        arrays = [memory, *self.weights, *(self.readout or ())]
        if self.drops is not None:
            arrays.append(self.drops)
        self.referred = [(array, array.shape) for array in arrays]
        return 0

    cdef int check_shapes(self) except -1:
        """Refuse a backward after somebody has reshaped, in place, what the tape refers to."""
        cdef Recurrence layer
        for layer in self.layers:
            layer.check_shapes()
        refuse_reshaped(self.referred, "memory, weights, readout and drops")
        return 0

    cdef object backward(
        self, object dfeatures, object dalignment, object dfed, object dstates, object num_threads
    ):
        """All that `attention_decoder_backward` returns."""
        cdef BackwardLoop b
        cdef list owner = []
        cdef int threads
        self.check_shapes()
        memset(&b, 0, sizeof(BackwardLoop))
        self.open_loop(&b.forward, owner, self.tape)
        grads = self.new_gradients(dfeatures, dalignment, dfed)
        self.open_gradients(&b, owner, grads, num_threads)
        self.open_attention(&b, owner, grads)
        dcells = self.open_layers_backward(&b, owner, grads, dstates, num_threads)
        threads = threads_for(num_threads, 2 * self.work(&b.forward), b.forward.rows)
        if b.forward.rows:
            give_memory(&b.forward, owner, threads)
            with nogil:
                run_steps_backward(&b, threads)
        run(&b.forward.attention, memory_share, attention_work(&b.forward.attention), num_threads)
        dstates0 = [empty_like(dstate) for dstate in dstates]
        self.close_layers_backward(&b, dstates0)
        dmemory, dweights = self.attention_gradients(grads, num_threads)
        dreadout = ()
        if self.readout is not None:  # z = [c; h] Wc + bc
            joined, dz = flat(self.tape["joined"]), flat(grads["dz"])
            dreadout = weight_gradient(joined, dz, num_threads), column_sums(dz, num_threads)
        return grads["dx"], grads["dfed"], dstates0, dmemory, dcells, dweights, dreadout

    cdef dict new_gradients(self, object dfeatures, object dalignment, object dfed):
        """Arrays for the gradients that a step leaves, under the names of `BackwardLoop`."""
        tape, (keys, _, k, v) = self.tape, self.memory
        joined, first, dtype = tape["joined"], tape["inputs"][0], dfeatures.dtype
        N, T, F = dfeatures.shape
        hidden = (N, T, tape["query"].shape[2])
        context = (N, T, keys.shape[2])
        grads = {
            "dfeatures": dfeatures,
            "dfed": dfed.copy() if self.feeding else None,
            "djoined": scratch(joined.shape, dtype),
            "dc": empty(context, dtype),
            "dquery": scratch(hidden, dtype),
            "dy": scratch(hidden, dtype),
            "dbelow": scratch(hidden, dtype),
            "dfirst": scratch(first.shape, dtype),
            "dx": empty((N, T, first.shape[2] - (F if self.feeding else context[2])), dtype),
            "dalignment": dalignment,
            "dscore": empty((N * self.heads, T, keys.shape[1]), dtype),
            "dk": empty_like(k),
        }
        grads["dz"] = grads["djoined"] if self.readout is None else empty((N, T, F), dtype)
        grads["dq"] = empty(tape["q"].shape, dtype) if self.weights else grads["dquery"]
        grads["dheads"] = grads["dc"]
        if self.score == "multi_head":
            grads["dheads"] = empty(tape["heads"].shape, dtype)
        grads["dv"] = grads["dk"] if k is v else empty_like(v)
        if self.heads > 1 and dalignment is not None:  # alignment = mean of the heads'
            grads["dalignment"] = dalignment / self.heads
        if self.score == "additive":
            grads["dk"].fill(0)
            grads["dscore_v"] = np.zeros((2, N, 1, k.shape[2]), dtype)  # sums, a step's
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
        b.dfirst_second = plane(owner, grads["dfirst"][:, :, b.dx.columns :])
        if self.feeding:
            b.dfed = plane(owner, same_rows(grads["dfed"], b.forward.steps))
        if self.weights:
            b.query_weights_t = affine_transposed(k, owner, self.weights[0], num_threads)
        if self.score == "multi_head":
            b.heads_weights_t = affine_transposed(k, owner, self.weights[3], num_threads)
        if self.readout is not None:
            b.readout_t = affine_transposed(k, owner, self.readout[0], num_threads)
        return 0

    cdef int open_attention(self, BackwardLoop *b, list owner, dict grads) except -1:
        cdef Job *m = &b.forward.attention
        m.dcontext = matrices(owner, grads["dheads"], self.heads)
        m.dscore, m.dq = matrices(owner, grads["dscore"]), matrices(owner, grads["dq"], self.heads)
        m.dk = matrices(owner, grads["dk"], self.heads)
        m.dvalues = matrices(owner, grads["dv"], self.heads)
        m.shared = grads["dk"] is grads["dv"]
        if grads["dalignment"] is not None:
            m.dalignment = matrices(owner, grads["dalignment"])
        if self.score == "additive":
            b.dscore_v = plane(owner, grads["dscore_v"][0])
            m.dv = matrices(owner, grads["dscore_v"][1])
        return 0

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
            dcells.append(new_layer_gradients(layer))
            layer.open_backward(
                &b.cells[i], grads["dy"], grads["dbelow"] if i else grads["dfirst"],
                [dstate[i] for dstate in dstates], list(dcells[i]), owner, num_threads,
            )
            (<fr_cell *>steps.data)[i] = layer.cell
            b.row_bytes = max(b.row_bytes, b.cells[i].row_bytes)
        return dcells

    cdef int close_layers_backward(self, const BackwardLoop *b, list dstates0) except -1:
        """Write the gradients of the initial states."""
        cdef Recurrence layer
        for i, layer in enumerate(self.layers):
            layer.close_backward(&b.cells[<fr_index>i], [dstate[i] for dstate in dstates0])
        return 0

    cdef tuple attention_gradients(self, dict grads, object num_threads):
        """Gradients of the memory and of the weights of the score."""
        keys, values, k, v = self.memory
        dkeys, dvalues, dweights = meet_memory_backward(
            grads["dk"], grads["dv"], keys, values, self.weights, self.score, self.lengths,
            num_threads,
        )
        dmemory = dkeys if k is v else np.add(dkeys, dvalues, out=dkeys)
        if not self.weights:
            return dmemory, ()
        query, dq = flat(self.tape["query"]), flat(grads["dq"])
        dWq = weight_gradient(query, dq, num_threads)  # q = query Wq
        last = ()
        if self.score == "additive":
            last = (grads["dscore_v"][0].sum(axis=(0, 1)),)
        if self.score == "multi_head":  # c = heads Wo
            heads, dc = flat(self.tape["heads"]), flat(grads["dc"])
            last = (weight_gradient(heads, dc, num_threads),)
        return dmemory, (dWq, *dweights, *last)


def _new_layer(cell, Wx, Wh, b, bh=None):
    """The recurrence of one layer; its batch is to come."""
    cdef Recurrence layer
    if cell == "lstm":
        layer = LSTMRecurrence()
        layer.weights = lstm_weights(Wx, Wh, b)
    elif cell == "gru":
        layer = GRURecurrence()
        layer.weights = gru_weights(Wx, Wh, b, bh)
    else:
        layer = RNNRecurrence()
        layer.weights = rnn_weights(Wx, Wh, b, "tanh")
    return layer


cdef tuple new_layer_gradients(Recurrence layer):
    """Arrays for the gradients of the weights of one layer."""
    cdef Weights weights = layer.weights
    dWx, dWh = empty_like(weights.Wx), empty_like(weights.Wh)
    db = empty((dWx.shape[1],), dWx.dtype)
    if isinstance(layer, GRURecurrence):
        return dWx, dWh, db, None if weights.bh is None else empty_like(weights.bh)
    return dWx, dWh, db


cdef object same_rows(object rows, fr_index steps):
    """The same memory, rows (N, width), for every step."""
    shape, strides = (rows.shape[0], steps, rows.shape[1]), (rows.strides[0], 0, rows.strides[1])
    return np.ndarray(shape, rows.dtype, rows, 0, strides)


cdef object scratch(tuple shape, object dtype):
    """An array (N, T, width) that has the same memory for every step."""
    return same_rows(empty((shape[0], shape[2]), dtype), shape[1])


cdef object tape_rows(tuple shape, object dtype, bint train):
    """An array (N, T, width) of what only a backward needs of every step."""
    return empty(shape, dtype) if train else scratch(shape, dtype)


cdef object flat(object array):
    """All rows of an array (N, T, width) as a matrix."""
    return array.reshape(-1, array.shape[2])


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


cdef const Matrix *moving(list owner, const Matrix *whole, fr_index count) except? NULL:
    """Room for one row of each of these matrices, if there are any."""
    cdef Buffer buffer
    if whole == NULL:
        return NULL
    buffer = Buffer(count, sizeof(Matrix))
    owner.append(buffer)
    return <const Matrix *>buffer.data


cdef int give_memory(Loop *loop, list owner, int threads) except -1:
    """The workspace of each thread, and what points at the step that it is at."""
    cdef Job *m = &loop.attention
    cdef Job *now = &loop.now
    cdef fr_index rows = (loop.rows + threads - 1) // threads, n = loop.rows * m.heads
    owner.append(give_workspace(m, threads, 2 * rows))  # three pointers a row, see input_gradient
    now[0] = m[0]
    now.mean = moving(owner, m.mean, loop.rows)
    now.dalignment = moving(owner, m.dalignment, loop.rows)
    now.q, now.dq = moving(owner, m.q, n), moving(owner, m.dq, n)
    now.alignment, now.dscore = moving(owner, m.alignment, n), moving(owner, m.dscore, n)
    now.context, now.dcontext = moving(owner, m.context, n), moving(owner, m.dcontext, n)
    return 0
