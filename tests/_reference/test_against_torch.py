"""The reference against PyTorch: outputs by its modules and formulas, gradients by autograd."""

from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close, random_drop, random_lengths
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

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
    module = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[problem.cell.name](
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


def torch_step(problem, x, states, drop_h, Wx, Wh, b, bh=None):
    """Return the new states by the cell's formulas; what meets Wh is drop_h * h."""
    h, met = states[0], drop_h * states[0]
    if problem.cell.name == "rnn":
        return (getattr(torch, problem.options["nonlinearity"])(x @ Wx + met @ Wh + b),)
    if problem.cell.name == "lstm":
        i, f, g, o = (x @ Wx + met @ Wh + b).chunk(4, dim=1)
        c = torch.sigmoid(f) * states[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    (ar, az, an), (Ur, Uz, Un) = (x @ Wx + b).chunk(3, dim=1), Wh.chunk(3, dim=1)
    r, z = torch.sigmoid(ar + met @ Ur), torch.sigmoid(az + met @ Uz)
    n = torch.tanh(an + ((r * met) @ Un if bh is None else r * (met @ Un + bh)))
    return ((1 - z) * n + z * h,)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dropping", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_recurrent_by_its_formulas(variant, dropping, reverse, dtype, rtol):
    rng = np.random.default_rng(1)
    problem = recurrent_problem(variant, rng, N=4, T=5, D=4, H=6, dtype=dtype)
    drop_h = random_drop(rng, (4, 6), dtype) if dropping else None
    lengths = np.array([5, 0, 3, 1])
    leaves = {name: tensor(array) for name, array in problem.arguments.items()}
    x, *rest = leaves.values()
    states, weights = rest[: len(problem.states)], rest[len(problem.states) :]
    factors = torch.tensor(drop_h) if dropping else 1
    ys = [None] * 5
    for t in range(5)[::-1] if reverse else range(5):
        own = torch.tensor(t < lengths)[:, None]
        new = torch_step(problem, x[:, t], states, factors, *weights)
        states = [torch.where(own, *pair) for pair in zip(new, states, strict=True)]
        ys[t] = own * states[0]
    wanted_y = torch.stack(ys, dim=1)
    objective = (wanted_y * torch.tensor(problem.dy)).sum()
    for state, dstate in zip(states, problem.dstates.values(), strict=True):
        objective = objective + (state * torch.tensor(dstate)).sum()
    objective.backward()

    y, finals, stash = problem.forward(_reference, lengths=lengths, reverse=reverse, drop_h=drop_h)
    assert_close(y, wanted_y.detach().numpy(), rtol, "y")
    for state, wanted in zip(finals, states, strict=True):
        assert_close(state, wanted.detach().numpy(), rtol, "state")
    for name, gradient in problem.backward(_reference, stash).items():
        assert_close(gradient, leaves[name].grad.numpy(), rtol, name)


def torch_scores(score, query, keys, weights):
    """The scores (N, Tq, Tk) of one head."""
    if score == "dot":
        return torch.einsum("nqd,nkd->nqk", query, keys)
    if score == "scaled_dot":
        return torch.einsum("nqd,nkd->nqk", query, keys) / keys.shape[2] ** 0.5
    if score == "general":
        return torch.einsum("nqd,de,nke->nqk", query, weights[0], keys)
    Wq, Wk, v = weights
    return torch.tanh((query @ Wq).unsqueeze(2) + (keys @ Wk).unsqueeze(1)) @ v


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("score", sorted({*SCORES} - {"multi_head"}))
def test_attention(score, ragged, dtype, rtol):
    rng = np.random.default_rng(2)
    problem = attention_problem(score, rng, dtype=dtype)
    lengths = np.maximum(random_lengths(rng, 4, 5), 1) if ragged else np.full(4, 5)
    leaves = {name: tensor(array) for name, array in problem.arguments.items()}
    query, keys, values, *weights = leaves.values()
    scores = torch_scores(score, query, keys, weights)
    padding = torch.arange(5) >= torch.tensor(lengths)[:, None, None]
    wanted_attention = torch.softmax(scores.masked_fill(padding, -torch.inf), dim=2)
    wanted_context = wanted_attention @ values
    objective = (wanted_context * torch.tensor(problem.dcontext)).sum()
    (objective + (wanted_attention * torch.tensor(problem.dattention)).sum()).backward()

    context, attention, stash = problem.forward(_reference, lengths=lengths if ragged else None)
    assert_close(context, wanted_context.detach().numpy(), rtol, "context")
    assert_close(attention, wanted_attention.detach().numpy(), rtol, "attention")
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
    wanted_context, wanted_attention = module(*leaves.values(), key_padding_mask=padding)
    objective = (wanted_context * torch.tensor(problem.dcontext)).sum()
    (objective + (wanted_attention * torch.tensor(problem.dattention)).sum()).backward()
    wanted = {name: leaf.grad for name, leaf in leaves.items()}
    wanted |= {name: module.get_parameter(modules[name]).grad.T for name in problem.weights}

    context, attention, stash = problem.forward(_reference, lengths=lengths if ragged else None)
    assert_close(context, wanted_context.detach().numpy(), rtol, "context")
    assert_close(attention, wanted_attention.detach().numpy(), rtol, "attention")
    for name, gradient in problem.backward(_reference, stash).items():
        assert_close(gradient, wanted[name].numpy(), rtol, name)


def torch_cell(variant, x, state, drop, Wx, Wh, b, bh=None):
    """The new state after one step, by PyTorch's cells; h meets Wh times `drop`."""
    H = len(Wh)
    kind = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}
    module = kind[variant.partition("_")[0]](x.shape[1], H, dtype=x.dtype)
    bias_hh = torch.zeros_like(b)
    if bh is not None:
        bias_hh = torch.cat([bias_hh[: 2 * H], bh])
    weights = {"weight_ih": Wx.T, "weight_hh": Wh.T, "bias_ih": b, "bias_hh": bias_hh}
    met = state[0] * drop
    argument = (met, state[1]) if variant == "lstm" else met
    new = torch.func.functional_call(module, weights, (x, argument))
    if variant == "gru_after":  # h' = (1 - z) * n + z * h, and the module knows only what met Wh
        z = torch.sigmoid((x @ Wx + b + met @ Wh)[:, H : 2 * H])
        new = new + z * (state[0] - met)
    return list(new) if variant == "lstm" else [new]


def torch_attend(query, memory, weights, score, heads, padding):
    """Context and attention of one query (N, H) for each sequence."""
    query, values = query[:, None], memory
    if score != "multi_head":
        scores = torch_scores(score, query, memory, weights)
        attention = torch.softmax(scores.masked_fill(padding, -torch.inf), dim=2)
        return (attention @ values)[:, 0], attention[:, 0]
    Wq, Wk, Wv, Wo = weights
    q, k, v = (
        projected.unflatten(2, (heads, -1)).swapaxes(1, 2)
        for projected in (query @ Wq, memory @ Wk, memory @ Wv)
    )
    scores = (q @ k.mT / q.shape[3] ** 0.5).masked_fill(padding[:, None], -torch.inf)
    attention = torch.softmax(scores, dim=3)
    return (attention @ v).swapaxes(1, 2).flatten(2)[:, 0] @ Wo, attention.mean(dim=1)[:, 0]


def torch_decoder(variant, problem, leaf):
    """The outputs of a decoder problem whose arrays are the leaves of these names."""
    options, L, T = problem.kind | problem.options, len(problem.cells), problem.x.shape[1]
    cells = [[leaf[f"cell {k} weight {i}"] for i in range(len(problem.cells[0]))] for k in range(L)]
    states = [[leaf[f"state {i}"][k] for i in range(len(problem.states))] for k in range(L)]
    weights = [leaf[f"weight {i}"] for i in range(len(problem.weights))]
    memory, feeding = leaf["memory"], options["context"] == "input_feeding"
    padding = torch.arange(memory.shape[1]) >= torch.tensor(options["lengths"])[:, None, None]
    fed, features, all_attention = leaf.get("fed"), [], []
    drop_h = torch.ones_like(leaf["state 0"])
    if options["drop_h"] is not None:
        drop_h = torch.tensor(options["drop_h"])

    def attend(query):
        return torch_attend(query, memory, weights, options["score"], options["num_heads"], padding)

    for t in range(T):
        if not feeding:
            attended = attend(states[-1][0])
        y = torch.cat([leaf["x"][:, t], fed if feeding else attended[0]], dim=1)
        for k in range(L):
            below = y
            if k and options["drops"] is not None:
                y = y * torch.tensor(options["drops"][k - 1, :, t])
            states[k] = torch_cell(variant, y, states[k], drop_h[k], *cells[k])
            y = states[k][0]
            if options["residual"] and k >= 2:
                y = y + below
        if feeding:
            attended = attend(y)
        fed = torch.cat([attended[0], y], dim=1)
        if problem.readout is not None:
            fed = torch.tanh(fed @ leaf["readout 0"] + leaf["readout 1"])
        features.append(fed)
        all_attention.append(attended[1])
    finals = [torch.stack(each) for each in zip(*states, strict=True)]
    return torch.stack(features, 1), torch.stack(all_attention, 1), fed if feeding else None, finals


@pytest.mark.parametrize("context", ["input_feeding", "input"])
@pytest.mark.parametrize(
    ("variant", "score", "kind"),
    [
        ("lstm", "general", {"layers": 3, "residual": True, "dropped": True}),
        ("lstm", "multi_head", {"R": None}),
        ("gru_after", "additive", {"layers": 2, "dropped": True}),
        ("gru_after", "dot", {"layers": 4, "residual": True, "R": None}),
        ("rnn_tanh", "scaled_dot", {}),
    ],
)
def test_attention_decoder(variant, score, kind, context, dtype, rtol):
    rng = np.random.default_rng(7)
    problem = decoder_problem(
        variant, rng, context=context, score=score, ragged=True, dtype=dtype, **kind
    )
    problem.options["lengths"] = np.maximum(problem.options["lengths"], 1)
    leaf = {name: tensor(array) for name, array in problem.arguments.items()}
    wanted = torch_decoder(variant, problem, leaf)
    *upstream, dstates = problem.upstream
    objective = sum(
        (d * y).sum() for d, y in zip(map(torch.tensor, dstates), wanted[3], strict=True)
    )
    for d, y in zip(upstream, wanted, strict=False):
        objective = objective + (0 if y is None else (torch.tensor(d) * y).sum())
    objective.backward()

    results = problem.forward(_reference)
    outputs = problem.outputs((*wanted, None))
    for name, array in problem.outputs(results).items():
        assert_close(array, outputs[name].detach().numpy(), rtol, name)
    for name, gradient in problem.backward(_reference, results[-1]).items():
        assert_close(gradient, leaf[name].grad.numpy(), rtol, name)


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
