"""The modules of `fastrnn.torch`, and layers from and to PyTorch. This file imports PyTorch."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence

import fastrnn.torch
from digests.layers import RECURRENT, built
from digests.record import Array, Cases, Draw
from fastrnn import convert

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "first": {"batch_first": True, "num_layers": 2},
    "two_ways": {"bidirectional": True, "num_layers": 2, "dropout": 0.3},
    "unbiased": {"bias": False, "bidirectional": True},
}
SIZES = [(5, 4, 7, 19), (20, 16, 60, 90)]


def cases() -> Cases:
    for name, options, size in product(CASES, OPTIONS, SIZES):
        run = partial(_module, name=name, options=OPTIONS[options], size=size)
        yield f"{name}/{options}/{'x'.join(map(str, size))}", run
    for variant in RECURRENT:
        if variant != "gru_before":
            yield f"converted/{variant}", partial(_converted, variant=variant)


def _tensor(array: Array) -> Any:
    return torch.tensor(array, requires_grad=True)


def _filled(draw: Draw, module: Any) -> Any:
    """The module with random parameters."""
    with torch.no_grad():
        for param in module.parameters():
            param.copy_(torch.tensor(draw.weights(*param.shape)))
    return module


def _module(draw: Draw, name: str, options: dict[str, Any], size: tuple[int, ...]) -> Any:
    T, N, D, H = size
    kind, own = CASES[name]
    dtype = getattr(torch, draw.dtype)
    module = getattr(fastrnn.torch, kind)(D, H, dtype=dtype, **own, **options)
    _filled(draw, module)
    x = _tensor(draw.normal(T, N, D))
    lengths = torch.tensor(draw.lengths(N, T - 1) + 1)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    rows = (2 if module.bidirectional else 1) * module.num_layers
    count = N if not module.batch_first else T
    state = tuple(_tensor(draw.normal(rows, count, H)) for _ in range(2 if kind == "LSTM" else 1))
    torch.manual_seed(4)
    results = [_differentiated(draw, module, x, state if kind == "LSTM" else state[0])]
    results.append([part.grad.numpy().copy() for part in state])
    results.append(_differentiated(draw, module, packed, None, leaf=x))
    with torch.no_grad():
        results.append([each.numpy() for each in _tensors(module.eval()(x))])
    return results


def _tensors(value: Any) -> list[Any]:
    """The tensors in what a module returned."""
    if isinstance(value, torch.Tensor):
        return [value]
    if hasattr(value, "batch_sizes"):
        return [value.data]
    return [tensor for part in value for tensor in _tensors(part)]


def _differentiated(draw: Draw, module: Any, x: Any, state: Any, leaf: Any = None) -> Any:
    """Outputs, and the gradients of the inputs and the parameters."""
    leaf = x if leaf is None else leaf
    leaf.grad = None
    module.zero_grad()
    outputs = _tensors(module(x, state))
    upstream = [torch.tensor(draw.normal(*output.shape)) for output in outputs]
    torch.autograd.backward(outputs, upstream)
    grads = {key: param.grad.numpy().copy() for key, param in module.named_parameters()}
    return [output.detach().numpy() for output in outputs], leaf.grad.numpy().copy(), grads


def _converted(draw: Draw, variant: str) -> Any:
    layer = built(draw, variant, 5, 6, 2, bidirectional=True)
    module = convert.to_torch(layer)
    fastrnn.torch.accelerate(module)
    again = convert.from_torch(module)
    with torch.no_grad():
        results = _tensors(module(torch.tensor(draw.normal(3, 4, 5))))
    return again.params, [result.numpy() for result in results]
