"""What autograd may ask of our modules."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
ours = pytest.importorskip("fastrnn.torch")

KINDS = ("LSTM", "GRU", "RNN")


def module(kind, *sizes, **options):
    torch.manual_seed(1)
    return getattr(ours, kind)(*sizes, dtype=torch.float64, **options)


def example(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_gradcheck(kind, bias, packed):
    layer = module(kind, 3, 4, 2, bias=bias, bidirectional=True)
    inputs = [example(4, 3, 3), example(4, 3, 4)]
    if kind == "LSTM":
        inputs.append(example(4, 3, 4))

    def call(x, h, *rest):
        hx = (h, rest[0]) if kind == "LSTM" else h
        if packed:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, [1, 4, 2], enforce_sorted=False)
        y, final = layer(x, hx)
        return (y.data, *(final if kind == "LSTM" else (final,)))

    assert torch.autograd.gradcheck(call, (*inputs, *layer.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_twice_with_retain_graph(kind):
    layer = module(kind, 3, 4, bidirectional=True)
    x = example(5, 2, 3)
    loss = layer(x)[0].square().sum()
    loss.backward(retain_graph=True)
    once = [tensor.grad.clone() for tensor in (x, *layer.parameters())]
    loss.backward()
    for tensor, grad in zip((x, *layer.parameters()), once, strict=True):
        torch.testing.assert_close(tensor.grad, 2 * grad)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_second_derivatives_are_refused():
    layer, x = module("GRU", 3, 4), example(5, 2, 3)
    with pytest.raises(RuntimeError, match=r"GRU: backward must be called with create_graph=False"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)


def test_changes_in_place_are_noticed():
    layer, x = module("LSTM", 3, 4), example(5, 2, 3)
    loss = layer(x)[0].sum()
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    y = layer(2 * x)[0]
    y.mul_(3)  # results may be changed: the backward does not read them
    y.sum().backward()


def test_only_what_is_wanted():
    layer, x = module("LSTM", 3, 4), example(5, 2, 3)
    layer.requires_grad_(False)
    layer.bias_hh_l0.requires_grad_(True)
    layer(x.detach())[0].sum().backward()
    assert [name for name, p in layer.named_parameters() if p.grad is not None] == ["bias_hh_l0"]
    layer.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert x.grad.any()
    assert not layer(x.detach())[0].requires_grad


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["output", "state"])
def test_one_result_alone(kind, part):
    layer, x = module(kind, 3, 4, 2), example(5, 2, 3)
    theirs = getattr(torch.nn, kind)(3, 4, 2, dtype=torch.float64)
    theirs.load_state_dict(layer.state_dict())
    grads = []
    for each in (layer, theirs):
        y, final = each(x)
        one = y if part == "output" else final[-1]
        grads.append(torch.autograd.grad(one.sum(), [x, *each.parameters()]))
    for mine, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(mine, wanted)
        assert mine.is_contiguous() or mine.dim() == 3


def test_gradients_share_no_memory():
    layer = module("LSTM", 3, 4)
    grads = torch.autograd.grad(layer(example(5, 2, 3))[0].sum(), list(layer.parameters()))
    assert len({grad.data_ptr() for grad in grads}) == len(grads)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_a_graph(mode):
    layer, x = module("GRU", 3, 4), example(5, 2, 3)
    wanted = layer(x)
    with mode():
        found = layer(x)
    for one, other in zip(found, wanted, strict=True):
        assert not one.requires_grad and one.grad_fn is None
        assert torch.equal(one, other)


def test_checkpointing():
    from torch.utils.checkpoint import checkpoint

    layer, x = module("GRU", 3, 4, 2, dropout=0.5), example(5, 2, 3)
    grads = []
    for call in (layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        torch.manual_seed(2)
        loss = call(x)[0].square().sum()
        grads.append(torch.autograd.grad(loss, [x, *layer.parameters()]))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_of_a_functional_call():
    layer, x = module("GRU", 3, 4), example(5, 2, 3)
    weights = {name: 2 * param for name, param in layer.named_parameters()}
    y, _ = torch.func.functional_call(layer, weights, (x,))
    for param in layer.parameters():
        param.data.mul_(2)
    torch.testing.assert_close(y, layer(x)[0])
