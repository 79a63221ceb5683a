"""The reference against PyTorch: outputs by its modules and formulas, gradients by autograd."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import (
    SCORES,
    assert_close,
    attention_problem,
    random_lengths,
    recurrent_problem,
)

from fastrnn import _reference

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parametrize(
    ("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-12)], ids=["float32", "float64"]
)


def tensor(array):
    """A leaf that shares no memory with `array` and collects a gradient."""
    return torch.tensor(array, requires_grad=array.dtype.kind == "f")


def torch_recurrent(problem, lengths, reverse):
    """Return y, the states and the gradients of a recurrent problem, computed by PyTorch.

    A bidirectional module runs both directions; of its outputs only the wanted one is used.
    """
    _, T, D = problem.x.shape
    H = problem.weights["Wh"].shape[0]
    module = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[problem.cell](
        D, H, batch_first=True, bidirectional=True, dtype=tensor(problem.x).dtype, **problem.options
    )
    suffix = "_l0_reverse" if reverse else "_l0"
    weights = {name: tensor(array) for name, array in problem.weights.items()}
    bias_hh = torch.zeros_like(weights["b"])
    if "bh" in weights:  # of PyTorch's second bias only the part inside the reset gate is needed
        bias_hh = torch.cat([bias_hh[: 2 * H], weights["bh"]])
    parameters = {
        "weight_ih" + suffix: weights["Wx"].T,
        "weight_hh" + suffix: weights["Wh"].T,
        "bias_ih" + suffix: weights["b"],
        "bias_hh" + suffix: bias_hh,
    }
    x, states = tensor(problem.x), {name: tensor(h) for name, h in problem.states.items()}
    both = [torch.stack([h, h]) for h in states.values()]
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    y, finals = torch.func.functional_call(
        module, parameters, (packed, tuple(both) if len(both) > 1 else both[0])
    )
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=T)
    y = y[:, :, H:] if reverse else y[:, :, :H]
    finals = [h[int(reverse)] for h in (finals if len(both) > 1 else [finals])]
    objective = (y * torch.tensor(problem.dy)).sum()
    for final, dfinal in zip(finals, problem.dstates.values(), strict=True):
        objective = objective + (final * torch.tensor(dfinal)).sum()
    objective.backward()
    gradients = {name: leaf.grad.numpy() for name, leaf in {"x": x, **states, **weights}.items()}
    return y.detach().numpy(), [h.detach().numpy() for h in finals], gradients


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("variant", ["rnn_tanh", "rnn_relu", "lstm", "gru_after"])
def test_recurrent(variant, ragged, reverse, dtype, rtol):
    rng = np.random.default_rng(0)
    problem = recurrent_problem(variant, rng, N=5, T=7, D=4, H=6, dtype=dtype)
    lengths = np.full(5, 7)
    if ragged:  # PyTorch packs no empty sequence
        lengths = np.maximum(random_lengths(rng, 5, 7), 1)
    y, states, stash = problem.forward(
        _reference, lengths=lengths if ragged else None, reverse=reverse
    )
    gradients = problem.backward(_reference, stash)
    wanted_y, wanted_states, wanted_gradients = torch_recurrent(problem, lengths, reverse)
    assert_close(y, wanted_y, rtol, "y")
    for state, wanted in zip(states, wanted_states, strict=True):
        assert_close(state, wanted, rtol, "state")
    for name, gradient in gradients.items():
        assert_close(gradient, wanted_gradients[name], rtol, name)


@pytest.mark.parametrize("reverse", [False, True])
def test_gru_reset_before_by_its_formula(reverse, dtype, rtol):
    problem = recurrent_problem(
        "gru_before", np.random.default_rng(1), N=3, T=5, D=4, H=6, dtype=dtype
    )
    leaves = {name: tensor(array) for name, array in problem.arguments.items()}
    x, h, Wx, Wh, b = leaves.values()
    ys = [None] * 5
    for t in range(5)[::-1] if reverse else range(5):
        ar, az, an = (x[:, t] @ Wx + b).split(6, dim=1)
        Ur, Uz, Un = Wh.split(6, dim=1)
        r, z = torch.sigmoid(ar + h @ Ur), torch.sigmoid(az + h @ Uz)
        n = torch.tanh(an + (r * h) @ Un)
        ys[t] = h = (1 - z) * n + z * h
    wanted_y = torch.stack(ys, dim=1)
    (
        (wanted_y * torch.tensor(problem.dy)).sum()
        + (h * torch.tensor(problem.dstates["dh"])).sum()
    ).backward()

    y, (state,), stash = problem.forward(_reference, reverse=reverse)
    assert_close(y, wanted_y.detach().numpy(), rtol, "y")
    assert_close(state, h.detach().numpy(), rtol, "state")
    for name, gradient in problem.backward(_reference, stash).items():
        assert_close(gradient, leaves[name].grad.numpy(), rtol, name)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("score", sorted({*SCORES} - {"multi_head"}))
def test_attention(score, ragged, dtype, rtol):
    rng = np.random.default_rng(2)
    problem = attention_problem(score, rng, dtype=dtype)
    lengths = np.maximum(random_lengths(rng, 4, 5), 1) if ragged else np.full(4, 5)
    leaves = {name: tensor(array) for name, array in problem.arguments.items()}
    query, keys, values, *weights = leaves.values()
    if score == "dot":
        scores = torch.einsum("nqd,nkd->nqk", query, keys)
    elif score == "scaled_dot":
        scores = torch.einsum("nqd,nkd->nqk", query, keys) / keys.shape[2] ** 0.5
    elif score == "general":
        scores = torch.einsum("nqd,de,nke->nqk", query, weights[0], keys)
    else:
        Wq, Wk, v = weights
        scores = torch.tanh((query @ Wq).unsqueeze(2) + (keys @ Wk).unsqueeze(1)) @ v
    padding = torch.arange(5) >= torch.tensor(lengths)[:, None, None]
    wanted_alignment = torch.softmax(scores.masked_fill(padding, -torch.inf), dim=2)
    wanted_context = wanted_alignment @ values
    objective = (wanted_context * torch.tensor(problem.dcontext)).sum()
    (objective + (wanted_alignment * torch.tensor(problem.dalignment)).sum()).backward()

    context, alignment, stash = problem.forward(_reference, lengths=lengths if ragged else None)
    assert_close(context, wanted_context.detach().numpy(), rtol, "context")
    assert_close(alignment, wanted_alignment.detach().numpy(), rtol, "alignment")
    for name, gradient in problem.backward(_reference, stash).items():
        assert_close(gradient, leaves[name].grad.numpy(), rtol, name)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_multi_head_attention(heads, ragged, dtype, rtol):
    rng = np.random.default_rng(6)
    sizes = {"Dq": 6, "Dk": 4, "Dv": 6, "A": 6 // heads}
    problem = attention_problem("multi_head", rng, heads=heads, dtype=dtype, **sizes)
    lengths = np.maximum(random_lengths(rng, 4, 5), 1) if ragged else np.full(4, 5)
    module = torch.nn.MultiheadAttention(6, heads, bias=False, kdim=4, vdim=6, batch_first=True)
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    modules = dict(zip(problem.weights, (*names, "out_proj.weight"), strict=True))
    for name, weight in problem.weights.items():
        module.get_parameter(modules[name]).data = torch.tensor(weight.T)
    leaves = {name: tensor(array) for name, array in problem.inputs.items()}
    padding = torch.arange(5) >= torch.tensor(lengths)[:, None]
    wanted_context, wanted_alignment = module(*leaves.values(), key_padding_mask=padding)
    objective = (wanted_context * torch.tensor(problem.dcontext)).sum()
    (objective + (wanted_alignment * torch.tensor(problem.dalignment)).sum()).backward()
    wanted = {name: leaf.grad for name, leaf in leaves.items()}
    wanted |= {name: module.get_parameter(modules[name]).grad.T for name in problem.weights}

    context, alignment, stash = problem.forward(_reference, lengths=lengths if ragged else None)
    assert_close(context, wanted_context.detach().numpy(), rtol, "context")
    assert_close(alignment, wanted_alignment.detach().numpy(), rtol, "alignment")
    for name, gradient in problem.backward(_reference, stash).items():
        assert_close(gradient, wanted[name].numpy(), rtol, name)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore_index", [None, 3])
def test_softmax_cross_entropy(ignore_index, label_smoothing, dtype, rtol):
    rng = np.random.default_rng(3)
    logits, targets = rng.standard_normal((9, 5)).astype(dtype), rng.integers(0, 5, 9)
    leaf = tensor(logits)
    wanted = torch.nn.functional.cross_entropy(
        leaf,
        torch.tensor(targets),
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
    )
    wanted.backward()
    loss, dlogits = _reference.softmax_cross_entropy(
        logits, targets, ignore_index=ignore_index, train=True, label_smoothing=label_smoothing
    )
    assert loss == pytest.approx(wanted.item(), rel=rtol)
    assert_close(dlogits, leaf.grad.numpy(), rtol)


def test_embedding(dtype, rtol):
    rng = np.random.default_rng(4)
    W, ids = rng.standard_normal((5, 3)).astype(dtype), rng.integers(0, 5, 20)
    dy = rng.standard_normal((20, 3)).astype(dtype)
    leaf = tensor(W)
    y = torch.nn.functional.embedding(torch.tensor(ids), leaf)
    y.backward(torch.tensor(dy))
    assert_close(_reference.embedding_forward(ids, W), y.detach().numpy(), 0)
    assert_close(_reference.embedding_backward(dy, ids, 5), leaf.grad.numpy(), rtol)


ADAM = {"lr": 0.1, "eps": 1e-3}
OPTIMIZERS = {  # name: (update, moments, our options, PyTorch's class and options)
    "sgd": ("sgd", 0, {"lr": 0.1}, "SGD", {"lr": 0.1}),
    "adagrad": ("adagrad", 1, ADAM, "Adagrad", ADAM),
    "rmsprop": ("rmsprop", 1, {**ADAM, "rho": 0.8}, "RMSprop", {**ADAM, "alpha": 0.8}),
    "adam": (
        "adam",
        2,
        {**ADAM, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.0},
        "Adam",
        {**ADAM, "betas": (0.8, 0.95)},
    ),
    "adamw": (
        "adam",
        2,
        {**ADAM, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.3},
        "AdamW",
        {**ADAM, "betas": (0.8, 0.95), "weight_decay": 0.3},
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, dtype, rtol):
    update, moments, options, theirs, their_options = OPTIMIZERS[name]
    rng = np.random.default_rng(5)
    param = rng.standard_normal((4, 3)).astype(dtype)
    leaf = tensor(param)
    optimizer = getattr(torch.optim, theirs)([leaf], **their_options)
    arrays = [np.zeros_like(param) for _ in range(moments)]
    for step in range(1, 11):
        grad = rng.standard_normal((4, 3)).astype(dtype)
        count = {"step": step} if update == "adam" else {}
        getattr(_reference, f"{update}_update")(param, grad, *arrays, **options, **count)
        leaf.grad = torch.tensor(grad)
        optimizer.step()
    assert_close(param, leaf.detach().numpy(), rtol)


def test_momentum(dtype, rtol):
    """PyTorch's velocity is ours without the learning rate: v_theirs = -v / lr."""
    rng = np.random.default_rng(6)
    param = rng.standard_normal((4, 3)).astype(dtype)
    leaf, velocity = tensor(param), np.zeros_like(param)
    optimizer = torch.optim.SGD([leaf], lr=0.1, momentum=0.7)
    for _ in range(10):
        grad = rng.standard_normal((4, 3)).astype(dtype)
        _reference.momentum_update(param, grad, velocity, lr=0.1, momentum=0.7)
        leaf.grad = torch.tensor(grad)
        optimizer.step()
    assert_close(param, leaf.detach().numpy(), rtol)
