"""No backend reads an integer array of the caller's: another thread may write to it meanwhile."""

from __future__ import annotations

import threading
from contextlib import suppress

import numpy as np
import pytest
from support.decoders import random_decoder
from support.problems import decoder_problem

import fastrnn
from fastrnn import ops
from fastrnn.ops import _backend

RNG = np.random.default_rng(1)
X, TABLE = RNG.standard_normal((3, 4, 5)), RNG.standard_normal((6, 5))
IDS, LENGTHS = RNG.integers(0, 6, (3, 4)), np.array([4, 0, 2])
WEIGHTS, STATES, GIVEN = random_decoder(RNG, N=3, S=4)
GIVEN = {"memory": GIVEN["memory"], "max_length": 4}
STEPS = decoder_problem("gru_after", RNG, T=4, E=5)
ROWS = decoder_problem("gru_after", RNG, T=4, E=5)
FROZEN = fastrnn.GRU(5, 2, dtype="float64", rng=2).freeze()


def recurrent(cell, layer):
    weights = [param for key, param in layer.params.items() if key.endswith("_l0")]
    states = [np.zeros((3, 2))] * len(layer.cell.states)
    operation, forward = getattr(ops, cell), getattr(ops, f"{cell}_forward")
    return {
        f"ops.{cell}": (lambda n: operation(X, *states, *weights, lengths=n), [LENGTHS]),
        f"ops.{cell}_forward": (lambda n: forward(X, *states, *weights, lengths=n), [LENGTHS]),
        f"{cell} of ids": (lambda x, n: layer(x, embedding=TABLE, lengths=n), [IDS, LENGTHS]),
        f"{cell} of many ids": (
            lambda x: layer(x, embedding=TABLE),
            [RNG.integers(0, 6, (8, 40))],  # more than rows: they are multiplied ahead of the loop
        ),
    }


def decoder_of_ids(x, n, steps):
    weights = fastrnn.ops.DecoderWeights(**{**vars(ROWS.decoder), "embedding": TABLE})
    options = {"lengths": n, "steps": steps}
    _, *inputs = ROWS.inputs[1:]
    return ops.attention_decoder_forward(weights, x, *inputs, **options)


CALLS = {  # name: (a call of the arrays, arrays of integers)
    **recurrent("rnn", fastrnn.RNN(5, 2, dtype="float64", rng=2)),
    **recurrent("gru", fastrnn.GRU(5, 2, dtype="float64", rng=2)),
    **recurrent("lstm", fastrnn.LSTM(5, 2, dtype="float64", rng=2)),
    "frozen": (lambda n: FROZEN(X, lengths=n), [LENGTHS]),
    "ops.embedding": (lambda ids: ops.embedding(ids, TABLE), [IDS]),
    "ops.embedding_forward": (
        lambda ids: ops.embedding_backward(X, ops.embedding_forward(ids, TABLE)[1]),
        [IDS],
    ),
    "ops.softmax_cross_entropy": (lambda t: ops.softmax_cross_entropy(X, t), [IDS % 5]),
    "ops.softmax_cross_entropy_forward": (
        lambda t: ops.softmax_cross_entropy_forward(X, t, ignore_index=5),
        [IDS],
    ),
    "ops.attention": (lambda n: ops.attention(X, X, X, lengths=n), [LENGTHS]),
    "ops.attention_forward": (lambda n: ops.attention_forward(X, X, X, lengths=n), [LENGTHS]),
    "ops.attention_decoder": (
        lambda n, steps: ops.attention_decoder(*STEPS.inputs, lengths=n, steps=steps),
        [LENGTHS, LENGTHS],
    ),
    "ops.attention_decoder_forward": (
        lambda n, steps: ops.attention_decoder_backward(
            *STEPS.upstream,
            ops.attention_decoder_forward(*STEPS.inputs, lengths=n, steps=steps)[-1],
        ),
        [LENGTHS, LENGTHS],
    ),
    "attention decoder of ids": (decoder_of_ids, [IDS, LENGTHS, LENGTHS]),
    "ops.decode_greedy": (
        lambda forced, own, n, start, no: ops.decode_greedy(
            WEIGHTS,
            STATES,
            **GIVEN,
            forced=forced,
            use_forced=own,
            lengths=n,
            start=start,
            exclude=no,
        ),
        [IDS, IDS > 2, LENGTHS, IDS[:, 0].copy(), np.arange(7) == 3],
    ),
    "ops.decode_sample": (
        lambda n, start, seed: ops.decode_sample(
            WEIGHTS, STATES, **GIVEN, lengths=n, start=start, seed=seed
        ),
        [LENGTHS, IDS[:, 0].copy(), LENGTHS],
    ),
    "ops.decode_beam": (
        lambda n, start: ops.decode_beam(WEIGHTS, STATES, **GIVEN, lengths=n, start=start),
        [LENGTHS, IDS[:, 0].copy()],
    ),
}


@pytest.fixture(params=CALLS)
def case(request):
    call, arrays = CALLS[request.param]
    return call, [array.copy() for array in arrays]


def arrays_in(value):
    """Yield all arrays in what a backend was given or gave."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        yield from arrays_in(list(value.values()))


class Recorder:
    """A backend that keeps the arrays that its functions get."""

    def __init__(self, module):
        self.module, self.received = module, []

    def __getattr__(self, name):
        function = getattr(self.module, name)

        def recorded(*args, **kwargs):
            self.received += arrays_in([args, kwargs])
            return function(*args, **kwargs)

        return recorded


def test_backends_get_copies_of_integers(case, backend, monkeypatch):
    call, arrays = case
    recorder = Recorder(_backend.get())
    monkeypatch.setattr(_backend, "get", lambda name=None: recorder)
    call(*arrays)
    integers = [array for array in recorder.received if array.dtype.kind in "iub"]
    if call is not CALLS["frozen"][0]:  # what is packed is called past the backend's functions
        assert integers
    for array in integers:
        assert not any(np.shares_memory(array, given) for given in arrays)


def test_copies_are_checked_with_any_integer_dtype(case, backend):
    call, arrays = case
    wanted = call(*arrays)
    for dtype in ("i4", ">i8", "u8"):
        given = [array if array.dtype == bool else array.astype(dtype) for array in arrays]
        strided = [np.repeat(array, 2, axis=-1)[..., ::2] for array in given]
        for some in (given, strided, [array.tolist() for array in arrays]):
            got = call(*some)
            for one, other in zip(arrays_in(got), arrays_in(wanted), strict=True):
                np.testing.assert_array_equal(one, other)


def test_integers_that_change_meanwhile_crash_nothing(case):
    """Hammer for a short time: the call raises or returns, whatever it is given meanwhile."""
    call, arrays = case
    done = threading.Event()

    def write():
        while not done.is_set():
            for value in (2**60, 0):
                for array in arrays:
                    array[...] = value

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            with suppress(ValueError):
                call(*arrays)
    finally:
        done.set()
        writer.join()
