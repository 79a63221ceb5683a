"""The cost of a variant of a layer: it is timed beside the plain layer.

A variant is a function that returns functions to time by name: first the variant, then the layer to
compare with, then PyTorch's variant if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from cases import Array
from contenders import installed
from fastrnn import reference
from fastrnn.compat import time_layers
from fastrnn.models import Seq2Seq
from harness import TOLERANCE, blas_threads
from measure import Effort
from records import PYTORCH, Record
from rounds import interleaved

if find_spec("torch"):
    import torch
    from torch import nn

Ways = dict[str, Callable[[], Any]]

N, T, H = 32, 50, 256


def half_of_the_steps() -> Ways:
    """Lengths 1 to T - 1, half of all steps, against all T steps."""
    return _half(train=False)


def half_of_the_steps_training() -> Ways:
    """The same, forward and backward."""
    return _half(train=True)


def _half(*, train: bool) -> Ways:
    layer, x = _layer("LSTM", train=train), _normal(2 * N, T, H)
    lengths = np.random.default_rng(0).permutation(np.linspace(1, T - 1, 2 * N).round().astype(int))
    return {
        "half of the steps": _ours(layer, x, lengths=lengths),
        "all steps": _ours(layer, x),
        **_pytorch(layer, x, lengths),
    }


def reset_before() -> Ways:
    """A GRU that resets before the product, against one that resets after it."""
    return _reset(train=False)


def reset_before_training() -> Ways:
    """The same, forward and backward."""
    return _reset(train=True)


def _reset(*, train: bool) -> Ways:
    x = _normal(N, T, H)
    return {
        "reset before": _ours(_layer("GRU", reset_after=False, train=train), x),
        "reset after": _ours(_layer("GRU", train=train), x),
    }


def float64() -> Ways:
    """A layer in float64 against float32: half as many numbers in a vector."""
    layer, x = _layer("LSTM", dtype=np.float64), _normal(N, T, H)
    wide = x.astype(np.float64)
    return {
        "float64": _ours(layer, wide),
        "float32": _ours(_layer("LSTM"), x),
        **_pytorch(layer, wide),
    }


def stacked() -> Ways:
    """Two layers against one."""
    layer, x = _layer("LSTM", num_layers=2), _normal(N, T, H)
    return {
        "two layers": _ours(layer, x),
        "one layer": _ours(_layer("LSTM"), x),
        **_pytorch(layer, x),
    }


def bidirectional() -> Ways:
    """Both directions against one."""
    layer, x = _layer("LSTM", bidirectional=True), _normal(N, T, H)
    return {
        "both directions": _ours(layer, x),
        "one direction": _ours(_layer("LSTM"), x),
        **_pytorch(layer, x),
    }


def bidirectional_threads() -> Ways:
    """Both directions of one sequence on two threads against one thread."""
    layer, x = _layer("LSTM", bidirectional=True), _normal(1, 2 * T, H)
    return {
        "two threads": _ours(layer, x, num_threads=2),
        "one thread": _ours(layer, x, num_threads=1),
    }


def denormals() -> Ways:
    """An LSTM whose state decays to denormals, against ordinary input."""
    rows, steps, size = 8, 100, 128
    layer = _layer("LSTM", size=size)
    _, forget, _, _ = np.split(layer.params["b_l0"], 4)
    forget[...] = 2.0  # c decays by 0.88 per step, so that 1e-37 is 3e-43 after 100 steps
    layer.params["Wh_l0"] *= 0.1
    ordinary = _normal(rows, steps, size)
    decay = np.float32(1e-37) * 0.88 ** np.arange(steps, dtype=np.float32)
    return {
        "denormal": _ours(layer, ordinary * decay[:, None]),
        "ordinary": _ours(layer, ordinary),
    }


def input_feeding() -> Ways:
    """A training step with input feeding against attention after the recurrence."""
    return {
        "input feeding": _training_step("input_feeding"),
        "attention after": _training_step("output"),
    }


def _training_step(context: str) -> Callable[[], Any]:
    """Loss and gradients of a grapheme-to-phoneme model, checked against the reference."""
    model = Seq2Seq(
        32,
        43,
        256,
        512,
        num_layers=2,
        decoder_layers=1,
        bidirectional_encoder=True,
        attention="general",
        context=context,
        readout="tanh",
        rng=0,
    )
    rng = np.random.default_rng(0)
    source, lengths = rng.integers(4, 32, (128, 9)), rng.integers(5, 10, 128)
    target = rng.integers(4, 43, (128, 8))

    def run() -> float:
        loss = model.loss(source, lengths, target)
        model.backward()
        return loss

    with fastrnn.backend("reference"):
        wanted = [np.array(run()), *(np.array(grad) for grad in model.grads.values())]
    _check([np.array(run()), *model.grads.values()], wanted)
    return run


def textbook() -> Ways:
    """A language model of a textbook's layers, against the same layers in plain NumPy.

    Tokens of 100 kinds, an embedding, two LSTMs, an affine layer, the loss: forward and backward.
    """
    ours, numpy = (_language_model(layers) for layers in (time_layers, _numpy_layers()))
    _check(ours(), numpy())
    return {"fastrnn": ours, "NumPy layers": numpy}


def _language_model(layers: Any) -> Callable[[], list[Array]]:
    """A call that returns the loss and the gradients."""
    rng, V, rows, steps = np.random.default_rng(0), 100, 128, 25

    def weights(*shape: int) -> Array:
        return rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))

    stack = [layers.TimeEmbedding(weights(V, H))]
    for _ in range(2):
        stack.append(layers.TimeLSTM(weights(H, 4 * H), weights(H, 4 * H), weights(4 * H)))
    stack.append(layers.TimeAffine(weights(H, V), weights(V)))
    loss, ids = layers.TimeSoftmaxWithLoss(), rng.integers(V, size=(rows, steps + 1))

    def run() -> list[Array]:
        xs = ids[:, :-1]
        for layer in stack:
            xs = layer.forward(xs)
        found, dout = loss.forward(xs, ids[:, 1:]), loss.backward()
        for layer in reversed(stack):
            dout = layer.backward(dout)
        return [np.array(found), *(grad for layer in stack for grad in layer.grads)]

    return run


def _numpy_layers() -> Any:
    """The layers of examples/swap_in.py."""
    path = Path(__file__).parent.parent / "examples" / "swap_in.py"
    spec = spec_from_file_location("swap_in", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VARIANTS = {
    "lengths, inference": half_of_the_steps,
    "lengths, training": half_of_the_steps_training,
    "reset before, inference": reset_before,
    "reset before, training": reset_before_training,
    "float64": float64,
    "stacked": stacked,
    "bidirectional": bidirectional,
    "bidirectional, N1": bidirectional_threads,
    "denormals": denormals,
    "input feeding, training": input_feeding,
    "textbook language model": textbook,
}


def timed_variant(name: str, threads: int, effort: Effort) -> Record:
    """Time the functions of a variant, in order."""
    fastrnn.set_num_threads(threads)
    if find_spec("torch"):
        torch.set_num_threads(threads)
    with blas_threads(threads):
        figures = interleaved(VARIANTS[name](), *effort, threads)
    return Record("variants", name, threads, figures)


def _normal(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _layer(name: str, *, size: int = H, train: bool = False, **options: Any) -> Any:
    layer = getattr(fastrnn, name)(size, size, rng=0, **options)
    return layer if train else layer.eval()


def _ours(layer: Any, x: Array, **options: Any) -> Callable[[], Any]:
    """A call of a layer, checked against the reference."""
    twin = getattr(reference, type(layer).__name__)(**layer.config())
    for key, param in twin.params.items():
        param[...] = layer.params[key]
    if not layer.training:
        twin.eval()
    _check(_call(layer, x, **options), _call(twin, x, **options))
    return lambda: _call(layer, x, **options)


def _call(layer: Any, x: Array, **options: Any) -> tuple[Array, ...]:
    """y and, in train mode, the gradient of x."""
    y, _ = layer(x, **options)
    return (y, layer.backward(_upstream(y.shape))[0]) if layer.training else (y,)


@cache
def _upstream(shape: tuple[int, ...]) -> Array:
    return _normal(*shape)


def _check(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    for array, other in zip(found, wanted, strict=True):
        assert np.abs(array - other).max() <= TOLERANCE * max(1.0, np.abs(other).max())


def _pytorch(layer: Any, x: Array, lengths: Array | None = None) -> Ways:
    """The same call in PyTorch, checked against fastrnn; packed if there are lengths."""
    if PYTORCH not in [kind.name for kind in installed()]:
        return {}
    peer = _pytorch_layer(layer)
    inputs = torch.from_numpy(x).requires_grad_(layer.training)
    counts = None if lengths is None else torch.from_numpy(lengths)
    upstream = torch.from_numpy(_upstream((*x.shape[:2], H)))

    def forward() -> torch.Tensor:
        if counts is None:
            return peer(inputs)[0]
        packed = nn.utils.rnn.pack_padded_sequence(
            inputs, counts, batch_first=True, enforce_sorted=False
        )
        y, _ = peer(packed)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=T)[0]

    def inference() -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return (forward(),)

    def training() -> tuple[torch.Tensor, ...]:
        y = forward()
        dx, *_ = torch.autograd.grad(y, [inputs, *peer.parameters()], upstream)
        return y, dx

    run = training if layer.training else inference
    options = {} if lengths is None else {"lengths": lengths}
    _check([tensor.detach().numpy() for tensor in run()], _call(layer, x, **options))
    return {PYTORCH: run}


def _pytorch_layer(layer: Any) -> nn.LSTM:
    """PyTorch's LSTM of the same sizes and weights."""
    peer = nn.LSTM(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bidirectional=layer.bidirectional,
        batch_first=True,
        dtype=getattr(torch, layer.dtype.name),
    )
    ours = {"weight_ih": "Wx", "weight_hh": "Wh", "bias_ih": "b"}
    for name, parameter in peer.named_parameters():
        kind, suffix = name.split("_l", 1)
        if kind in ours:
            parameter.data.copy_(torch.from_numpy(layer.params[f"{ours[kind]}_l{suffix}"].T))
        else:
            parameter.data.zero_()
    return peer.train(layer.training)
