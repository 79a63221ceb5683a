"""The recurrent layers against PyTorch's, weights copied both ways."""

from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close

import fastrnn

torch = pytest.importorskip("torch")
rnn = pytest.importorskip("torch.nn.utils.rnn")

KINDS = {
    "rnn_tanh": (fastrnn.RNN, torch.nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (fastrnn.RNN, torch.nn.RNN, {"nonlinearity": "relu"}),
    "lstm": (fastrnn.LSTM, torch.nn.LSTM, {}),
    "gru": (fastrnn.GRU, torch.nn.GRU, {}),
}
RTOL = {"float32": 2e-5, "float64": 1e-11}


def suffixes(layer):
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{k}{d}" for k in range(layer.num_layers) for d in directions]


def ours_from_torch(theirs, layer):
    """Fold PyTorch's two biases into ours."""
    for s in suffixes(layer):
        w = {n: getattr(theirs, n + s).detach().numpy() for n in ("weight_ih", "weight_hh")}
        b, recurrent = (getattr(theirs, n + s).detach().numpy() for n in ("bias_ih", "bias_hh"))
        layer.params["Wx" + s][...] = w["weight_ih"].T
        layer.params["Wh" + s][...] = w["weight_hh"].T
        layer.params["b" + s][...] = b + recurrent
        if "bh" + s in layer.params:
            H = layer.hidden_size
            layer.params["b" + s][2 * H :] = b[2 * H :]
            layer.params["bh" + s][...] = recurrent[2 * H :]


def torch_from_ours(layer, theirs):
    with torch.no_grad():
        for s in suffixes(layer):
            getattr(theirs, "weight_ih" + s).copy_(torch.tensor(layer.params["Wx" + s].T))
            getattr(theirs, "weight_hh" + s).copy_(torch.tensor(layer.params["Wh" + s].T))
            getattr(theirs, "bias_ih" + s).copy_(torch.tensor(layer.params["b" + s]))
            getattr(theirs, "bias_hh" + s).zero_()
            if "bh" + s in layer.params:
                H = layer.hidden_size
                bh = torch.tensor(layer.params["bh" + s])
                getattr(theirs, "bias_hh" + s)[2 * H :] = bh


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("from_torch", [False, True])
def test_forward_and_gradients(kind, bidirectional, ragged, from_torch, dtype, backend):
    ours_class, torch_class, options = KINDS[kind]
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    N, T, D, H, L = 5, 7, 3, 6, 2
    layer = ours_class(D, H, L, bidirectional=bidirectional, dtype=dtype, rng=2, **options)
    theirs = torch_class(D, H, L, batch_first=True, bidirectional=bidirectional, **options)
    theirs = theirs.to(getattr(torch, dtype))
    if from_torch:
        ours_from_torch(theirs, layer)
    else:
        for param in layer.params.values():
            param[...] = 0.5 * rng.standard_normal(param.shape)
        torch_from_ours(layer, theirs)

    lengths = np.array([3, 7, 1, 5, 2]) if ragged else np.full(N, T)
    x = rng.standard_normal((N, T, D)).astype(dtype)
    lstm = kind == "lstm"
    states = tuple(
        rng.standard_normal((L * (1 + bidirectional), N, H)).astype(dtype) for _ in range(1 + lstm)
    )
    y, final = layer(x, states if lstm else states[0], lengths=lengths if ragged else None)

    tx, *tstates = (torch.tensor(array, requires_grad=True) for array in (x, *states))
    packed = rnn.pack_padded_sequence(tx, torch.tensor(lengths), True, enforce_sorted=False)
    ty, tfinal = theirs(packed, tuple(tstates) if lstm else tstates[0])
    ty, _ = rnn.pad_packed_sequence(ty, batch_first=True, total_length=T)
    final, tfinal = (f if lstm else (f,) for f in (final, tfinal))
    assert_close(y, ty.detach().numpy(), RTOL[dtype])
    for state, tstate in zip(final, tfinal, strict=True):
        assert_close(state, tstate.detach().numpy(), RTOL[dtype])

    dy = rng.standard_normal(y.shape).astype(dtype)
    dfinal = tuple(rng.standard_normal(state.shape).astype(dtype) for state in final)
    dx, dstate = layer.backward(dy, dfinal if lstm else dfinal[0])
    torch.autograd.backward([ty, *tfinal], [torch.tensor(d) for d in (dy, *dfinal)])
    assert_close(dx, tx.grad.numpy(), RTOL[dtype])
    for grad, tstate in zip(dstate if lstm else (dstate,), tstates, strict=True):
        assert_close(grad, tstate.grad.numpy(), RTOL[dtype])
    for s in suffixes(layer):
        wanted = {
            "Wx": getattr(theirs, "weight_ih" + s).grad.numpy().T,
            "Wh": getattr(theirs, "weight_hh" + s).grad.numpy().T,
            "b": getattr(theirs, "bias_ih" + s).grad.numpy(),
        }
        if kind == "gru":
            wanted["bh"] = getattr(theirs, "bias_hh" + s).grad.numpy()[2 * H :]
        for name, grad in wanted.items():
            assert_close(layer.grads[name + s], grad, RTOL[dtype], name + s)
