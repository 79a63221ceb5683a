"""The layers: training, evaluation, single steps, frozen weights, rows of an embedding."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import fastrnn
from digests.maps import SCORES
from digests.record import Array, Cases, Draw, copies
from fastrnn import reference

RECURRENT: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru_after": ("GRU", {}),
    "gru_before": ("GRU", {"reset_after": False}),
}
DROPPED = {"dropout": 0.3, "recurrent_dropout": 0.25}
# Layers and options.
STACKS: list[tuple[int, dict[str, Any]]] = [
    (1, {}),
    (1, {"recurrent_dropout": 0.4}),
    (2, {}),
    (2, DROPPED),
    (3, {"residual": True}),
    (3, {"residual": True, **DROPPED}),
]
SIZES = [(1, 1, 3, 1), (4, 0, 5, 3), (5, 7, 6, 19), (20, 12, 11, 33)]
# N, T, D, H and layers: threads run, for the last also where the weights lie beyond L2
LARGE = [(12, 14, 40, 70, 2), (20, 30, 33, 90, 1), (1, 12, 290, 300, 2)]


def cases() -> Cases:
    for variant, (index, (count, options)), two in product(
        RECURRENT, enumerate(STACKS), (False, True)
    ):
        name = f"{variant}/{count}/{'_'.join(options) or 'plain'}/{2 if two else 1}"
        options = {**options, "bidirectional": two}
        for size in SIZES[index % 2 :: 2]:
            sizes = "x".join(map(str, size))
            run = partial(_recurrent, variant=variant, size=size, count=count, options=options)
            yield f"{name}/{sizes}", run
    for variant, two, (*size, count) in product(RECURRENT, (False, True), LARGE):
        options = {"bidirectional": two, **DROPPED, "dropout": 0.3 if count > 1 else 0.0}
        name = f"{variant}/large/{2 if two else 1}/{'x'.join(map(str, size))}"
        run = partial(_recurrent, variant=variant, size=size, count=count, options=options)
        yield name, run
    for variant, two, rows in product(RECURRENT, (False, True), (3, 15, 16, 200)):
        run = partial(_embedded, variant=variant, two=two, rows=rows, size=(5, 6, 9, 21))
        yield f"{variant}/embedded/{2 if two else 1}/{rows}", run
    for variant, rows in product(RECURRENT, (40, 700)):
        run = partial(_embedded, variant=variant, two=True, rows=rows, size=(24, 20, 60, 90))
        yield f"{variant}/embedded/large/{rows}", run
    for variant in RECURRENT:
        yield f"{variant}/reference", partial(_on_reference, variant=variant)
    for score in SCORES:
        yield f"attention/{score}", partial(_attention, score=score)
    yield from [("linear", _linear), ("embedding", _embedding), ("dropout", _dropout)]
    yield from [("cross_entropy", _cross_entropy), ("tanh", _tanh)]


def built(draw: Draw, variant: str, D: int, H: int, count: int, **options: Any) -> Any:
    """A recurrent layer with random parameters."""
    name, own = RECURRENT[variant]
    layer = getattr(fastrnn, name)(D, H, count, dtype=draw.dtype, rng=7, **own, **options)
    return draw.params_of(layer)


def _recurrent(
    draw: Draw, variant: str, size: tuple[int, ...], count: int, options: dict[str, Any]
) -> Any:
    N, T, D, H = size
    layer = built(draw, variant, D, H, count, **options)
    x, state, lengths = draw.normal(N, T, D), draw.like(layer.init_state(N)), draw.lengths(N, T)
    results = {
        "ragged": _trained(draw, layer, x, state, lengths),
        "whole": _trained(draw, layer, x, None, None),
    }
    layer.eval()
    results |= {"eval": _inferred(layer, x, state, lengths)}
    steps = () if options["bidirectional"] else ("steps", "frozen_steps")
    for name in steps[:1]:
        results[name] = _stepped(draw, layer, state)
    layer.freeze()
    results |= {"frozen": _inferred(layer, x, state, lengths)}
    for name in steps[1:]:
        results[name] = _stepped(draw, layer, state)
    layer.unfreeze()
    return results


def _trained(draw: Draw, layer: Any, x: Array, state: Any, lengths: Any, **given: Any) -> Any:
    """Outputs and all gradients."""
    layer.train()
    y, last = layer(x, state, lengths=lengths, **given)
    dx, dstate = layer.backward(draw.like(y), None if state is None else draw.like(last))
    return {"y": y, "state": last, "dx": dx, "dstate": dstate, "grads": copies(layer.grads)}


def _inferred(layer: Any, x: Array, state: Any, lengths: Any, **given: Any) -> Any:
    return [layer(x, state, lengths=lengths, **given), layer(x, state, **given), layer(x, **given)]


def _stepped(draw: Draw, layer: Any, state: Any) -> Any:
    """Steps, one after another; the last writes into arrays that are given."""
    results = []
    N = len(state[0][0] if isinstance(state, tuple) else state[0])
    for _ in range(2):
        y, state = layer.step(draw.normal(N, layer.input_size), state)
        results.append((y, state))
    out = draw.like((y, state))
    results.append(layer.step(draw.normal(N, layer.input_size), state, out=out))
    results.append(layer.step(draw.normal(N, layer.input_size)))
    return results


def _embedded(draw: Draw, variant: str, two: bool, rows: int, size: tuple[int, ...]) -> Any:
    N, T, D, H = size
    layer = built(draw, variant, D, H, 2, bidirectional=two)
    given = {"embedding": draw.normal(rows, D)}
    x, state, lengths = draw.ids(rows, N, T), draw.like(layer.init_state(N)), draw.lengths(N, T)
    results = {
        "ragged": _trained(draw, layer, x, state, lengths, **given),
        "whole": _trained(draw, layer, x, None, None, **given),
        "eval": _inferred(layer.eval(), x, state, lengths, **given),
    }
    return results | {"frozen": _inferred(layer.freeze(), x, state, lengths, **given)}


def _on_reference(draw: Draw, variant: str) -> Any:
    """The layers of `fastrnn.reference`, whatever the backend."""
    name, own = RECURRENT[variant]
    layer = getattr(reference, name)(4, 5, 2, dtype=draw.dtype, rng=7, **own)
    draw.params_of(layer)
    state = draw.like(layer.init_state(3))
    return _trained(draw, layer, draw.normal(3, 4, 4), state, draw.lengths(3, 4))


def _attention(draw: Draw, score: str) -> Any:
    N, Tq, Tk, D, A = 6, 5, 9, 14, 8
    heads = 2 if score == "multi_head" else 1
    layer = fastrnn.Attention(D, D, A, score=score, num_heads=heads, dtype=draw.dtype)
    draw.params_of(layer)
    query, keys, values = draw.normal(N, Tq, D), draw.normal(N, Tk, D), draw.normal(N, Tk, D)
    results: list[Any] = []
    for arguments in ((query, keys), (query, keys, values)):
        came = layer(*arguments, lengths=draw.lengths(N, Tk))
        results.append((came, layer.backward(*draw.like(came)), copies(layer.grads)))
        results.append(layer.backward(draw.like(came[0])))
    return results, layer.eval()(query, keys, values)


def _linear(draw: Draw) -> Any:
    results = []
    for bias in (True, False):
        layer = fastrnn.Linear(19, 23, bias=bias, dtype=draw.dtype)
        draw.params_of(layer)
        x = draw.normal(5, 7, 19)
        y = layer(x)
        dx = layer.backward(draw.like(y))
        results.append((y, dx, copies(layer.grads), layer.eval()(x)))
    return results


def _embedding(draw: Draw) -> Any:
    layer = draw.params_of(fastrnn.Embedding(11, 7, dtype=draw.dtype))
    ids = draw.ids(11, 5, 6)
    y = layer(ids)
    layer.backward(draw.like(y))
    return y, copies(layer.grads), layer.eval()(ids)


def _dropout(draw: Draw) -> Any:
    layer, x = fastrnn.Dropout(0.3, rng=5), draw.normal(7, 9)
    return [[layer(x), layer.backward(draw.like(x))] for _ in range(2)], layer.eval()(x)


def _cross_entropy(draw: Draw) -> Any:
    logits, targets = draw.normal(4, 6, 17), draw.ids(17, 4, 6)
    results = []
    for ignore, smoothing in [(None, 0.0), (3, 0.1)]:
        layer = fastrnn.SoftmaxCrossEntropy(ignore, smoothing)
        loss = layer(logits, targets)
        results.append([loss, layer.backward(), layer.backward(0.3)])
        results.append([layer.eval()(logits, targets)])
    return results


def _tanh(draw: Draw) -> Any:
    layer, x = fastrnn.Tanh(), draw.normal(5, 7)
    return layer(x), layer.backward(draw.like(x)), layer.eval()(x)
