"""Outputs and gradients of our modules against those of PyTorch's own, on random configurations."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import assert_close

import fastrnn

torch = pytest.importorskip("torch")
rnn = pytest.importorskip("torch.nn.utils.rnn")
ours = pytest.importorskip("fastrnn.torch")

KINDS = {
    "rnn_tanh": ("RNN", {"nonlinearity": "tanh"}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
}
RTOL = {"float32": 5e-5, "float64": 1e-11}


def pair(kind, dtype, *sizes, **options):
    """PyTorch's module and ours, with the same weights."""
    name, more = KINDS[kind]
    options = {**more, **options, "dtype": getattr(torch, dtype)}
    theirs = getattr(torch.nn, name)(*sizes, **options)
    mine = getattr(ours, name)(*sizes, **options)
    mine.load_state_dict(theirs.state_dict())
    return theirs, mine


def random_states(module, *middle):
    """A list of random states, (num_layers * directions, *middle, H)."""
    count = 2 if module.mode == "LSTM" else 1
    return [
        torch.randn(len(module.all_weights), *middle, module.hidden_size).to(
            module.weight_ih_l0.dtype
        )
        for _ in range(count)
    ]


def outcome(module, x, states, lengths=None):
    """Results of a call with these tensors, and gradients of inputs and parameters, by name.

    `lengths` pack x. The upstream gradients are the same random numbers for every module.
    """
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (x, *(states or ()))]
    hx = None if states is None else tuple(leaves[1:])
    if hx and module.mode != "LSTM":
        (hx,) = hx
    given_x = leaves[0]
    if lengths is not None:
        given_x = rnn.pack_padded_sequence(
            given_x, lengths, module.batch_first, enforce_sorted=False
        )
    torch.manual_seed(5)  # of dropout
    y, final = module(given_x, hx)
    results = [y.data if lengths is not None else y]
    results += final if isinstance(final, tuple) else [final]
    torch.manual_seed(6)
    torch.autograd.backward(results, [torch.randn_like(result) for result in results])
    found = {f"result {number}": result for number, result in enumerate(results)}
    found |= {f"gradient of input {number}": leaf.grad for number, leaf in enumerate(leaves)}
    found |= {name: param.grad for name, param in module.named_parameters()}
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def assert_same(theirs, mine, *arguments, rtol):
    wanted, found = outcome(theirs, *arguments), outcome(mine, *arguments)
    for name, array in wanted.items():
        assert_close(found[name], array, rtol, name)


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(list(KINDS)),
    dtype=st.sampled_from(list(RTOL)),
    N=st.integers(1, 7),
    T=st.integers(1, 6),
    D=st.integers(1, 9),
    H=st.integers(1, 20),
    layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_first=st.booleans(),
    bidirectional=st.booleans(),
    dropout=st.sampled_from([0.0, 0.4]),
    stateful=st.booleans(),
    shape=st.sampled_from(["batch", "single", "packed"]),
    training=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_random_configurations(
    kind, dtype, N, T, D, H, layers, bias, batch_first, bidirectional, dropout, stateful, shape,
    training, seed,
):  # fmt: skip
    torch.manual_seed(seed)
    theirs, mine = pair(
        kind, dtype, D, H, layers, bias=bias, batch_first=batch_first,
        bidirectional=bidirectional, dropout=dropout if layers > 1 else 0.0,
    )  # fmt: skip
    for module in (theirs, mine):
        module.train(training)
    single = shape == "single"
    size = (T, D) if single else (N, T, D) if batch_first else (T, N, D)
    x = torch.randn(size).to(getattr(torch, dtype))
    states = random_states(theirs, *(() if single else (N,))) if stateful else None
    lengths = torch.randint(1, T + 1, (N,)) if shape == "packed" else None
    assert_same(theirs, mine, x, states, lengths, rtol=RTOL[dtype])


@pytest.mark.parametrize("kind", KINDS)
def test_on_either_backend(kind, backend, dtype):
    torch.manual_seed(1)
    theirs, mine = pair(kind, dtype, 5, 6, 2, bidirectional=True)
    x = torch.randn(4, 3, 5).to(getattr(torch, dtype))
    assert_same(theirs, mine, x, random_states(theirs, 3), rtol=RTOL[dtype])


@pytest.mark.parametrize("sort", [False, True])
def test_a_packed_sequence_keeps_its_order(sort, dtype):
    torch.manual_seed(2)
    theirs, mine = pair("lstm", dtype, 3, 4, bidirectional=True)
    sequences = [torch.randn(length, 3).to(getattr(torch, dtype)) for length in (5, 5, 3, 1)]
    if not sort:
        sequences = [sequences[k] for k in (2, 0, 3, 1)]
    packed = rnn.pack_sequence(sequences, enforce_sorted=sort)
    (wanted, wanted_final), (found, final) = theirs(packed), mine(packed)
    assert isinstance(found, rnn.PackedSequence)
    assert found.batch_sizes is packed.batch_sizes
    assert found.sorted_indices is packed.sorted_indices
    for one, other in zip(rnn.unpack_sequence(found), rnn.unpack_sequence(wanted), strict=True):
        assert_close(one.detach().numpy(), other.detach().numpy(), RTOL[dtype])
    for one, other in zip(final, wanted_final, strict=True):
        assert_close(one.detach().numpy(), other.detach().numpy(), RTOL[dtype])


@pytest.mark.parametrize("batch_first", [False, True])
def test_arrays_of_any_strides(batch_first, dtype):
    torch.manual_seed(3)
    theirs, mine = pair("gru", dtype, 3, 4, batch_first=batch_first)
    wide = torch.randn(3, 12, 5).to(getattr(torch, dtype))
    x = wide.transpose(0, 2)[:, ::2, :].flip(0)
    assert_same(theirs, mine, x, random_states(theirs, x.shape[0 if batch_first else 1]), rtol=1e-5)


def test_the_layout_of_the_output_is_pytorch_s():
    for batch_first in (False, True):
        theirs, mine = pair("gru", "float32", 3, 4, 2, batch_first=batch_first, bidirectional=True)
        x = torch.randn(4, 5, 3)
        assert mine(x)[0].stride() == theirs(x)[0].stride()


def test_no_steps_and_no_sequences():
    _, mine = pair("lstm", "float32", 3, 4, 2, bidirectional=True)
    h, c = random_states(mine, 5)
    y, (h_n, c_n) = mine(torch.randn(0, 5, 3), (h, c))
    assert y.shape == (0, 5, 8) and torch.equal(h, h_n) and torch.equal(c, c_n)
    y, _ = mine(torch.randn(6, 0, 3))
    assert y.shape == (6, 0, 8)
    y.sum().backward()
    assert not any(param.grad.any() for param in mine.parameters())


def test_threads_are_pytorch_s(monkeypatch):
    used = []
    forward = fastrnn.ops._recurrent.forward
    backward = fastrnn.ops._recurrent.backward

    def spied_forward(*args, **kwargs):
        used.append(kwargs["num_threads"])
        return forward(*args, **kwargs)

    def spied_backward(cell, dy, dstates, stash, num_threads):
        used.append(num_threads)
        return backward(cell, dy, dstates, stash, num_threads)

    monkeypatch.setattr(fastrnn.ops._recurrent, "forward", spied_forward)
    monkeypatch.setattr(fastrnn.ops._recurrent, "backward", spied_backward)
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            ours.GRU(3, 4)(torch.randn(2, 3, 3))[0].sum().backward()
    finally:
        torch.set_num_threads(before)
    assert used == [1, 1, 2, 2]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_model_s_loss_follows_pytorch_s(batch_size):
    torch.manual_seed(4)
    theirs = Tagger(vocabulary=12, hidden=16)
    mine = copy.deepcopy(theirs)
    assert ours.accelerate(mine).replaced == ["rnn"]
    ids, tags = torch.randint(12, (2, batch_size, 20))
    wanted, found = (train(model, ids, tags, steps=50) for model in (theirs, mine))
    assert wanted[-1] < 0.5 * wanted[0]
    assert max(abs(a - b) for a, b in zip(wanted, found, strict=True)) <= 1e-4


class Tagger(torch.nn.Module):
    """Embedding, two-layer bidirectional GRU, linear."""

    def __init__(self, vocabulary, hidden):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, hidden)
        self.rnn = torch.nn.GRU(
            hidden, hidden, 2, bidirectional=True, batch_first=True, dropout=0.1
        )
        self.output = torch.nn.Linear(2 * hidden, vocabulary)

    def forward(self, ids):
        return self.output(self.rnn(self.embedding(ids))[0])


def train(model, ids, tags, steps):
    """The loss of each step; each model draws the same dropout."""
    torch.manual_seed(7)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids).flatten(0, 1), tags.flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
