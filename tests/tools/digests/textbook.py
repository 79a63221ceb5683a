"""All layers of `fastrnn.compat.time_layers`, which are of float32."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np

from digests.record import Array, Cases, Draw
from fastrnn.compat import time_layers as t

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
SIZES = [(1, 1, 3, 5), (4, 1, 7, 19), (5, 1, 7, 19), (3, 6, 11, 17), (20, 12, 9, 33)]
LARGE = [(16, 20, 90, 96), (64, 60, 37, 128), (5, 9, 160, 240)]


def cases() -> Cases:
    for name, size in product(GATES, SIZES):
        sizes = "x".join(map(str, size))
        yield f"{name}/{sizes}", partial(_step, name=name, size=size)
    for name, size in product((*GATES, "BiLSTM"), SIZES + LARGE):
        sizes = "x".join(map(str, size))
        yield f"Time{name}/{sizes}", partial(_over_time, name=name, size=size)
    yield from [("WeightSum", _weight_sum), ("AttentionWeight", _attention_weight)]
    yield from [("Attention", _attention), ("TimeAttention", _time_attention)]
    yield from [("TimeEmbedding", _embedding), ("TimeAffine", _affine), ("TimeDropout", _dropout)]
    yield from [("TimeSoftmaxWithLoss", _softmax), ("TimeSigmoidWithLoss", _sigmoid)]


def _params(draw: Draw, name: str, D: int, H: int) -> list[Array]:
    G = GATES[name] * H
    return [draw.weights(D, G), draw.weights(H, G), draw.weights(G)]


def _copied(arrays: list[Array]) -> list[Array]:
    return [array.copy() for array in arrays]


def _step(draw: Draw, name: str, size: tuple[int, ...]) -> Any:
    N, _, D, H = size
    layer = getattr(t, name)(*_params(draw, name, D, H))
    states = [draw.normal(N, H) for _ in range(2 if name == "LSTM" else 1)]
    new = layer.forward(draw.normal(N, D), *states)
    grads = layer.backward(*(draw.normal(N, H) for _ in states))
    return new, grads, _copied(layer.grads)


def _over_time(draw: Draw, name: str, size: tuple[int, ...]) -> Any:
    N, T, D, H = size
    params = _params(draw, name.removeprefix("Bi"), D, H)
    if name == "BiLSTM":
        params += _params(draw, "LSTM", D, H)
    results = []
    for stateful in (False, True):
        layer = getattr(t, f"Time{name}")(*params, stateful=stateful)
        if stateful and name != "BiLSTM":
            states = [draw.normal(N, H) for _ in range(2 if name == "LSTM" else 1)]
            layer.set_state(*states)
        for _ in range(1 + stateful):
            y = layer.forward(draw.normal(N, T, D))
            dx = layer.backward(draw.like(y))
            results.append([y.copy(), dx, _copied(layer.grads), _states(layer)])
    return results


def _states(layer: Any) -> Any:
    own = [layer.forward_lstm, layer.backward_lstm] if isinstance(layer, t.TimeBiLSTM) else [layer]
    names = ("h", "c", "dh")
    return [getattr(each, name).copy() for each in own for name in names if hasattr(each, name)]


def _weight_sum(draw: Draw) -> Any:
    layer = t.WeightSum()
    y = layer.forward(draw.normal(5, 7, 9), draw.normal(5, 7))
    return y, layer.backward(draw.like(y))


def _attention_weight(draw: Draw) -> Any:
    layer = t.AttentionWeight()
    y = layer.forward(draw.normal(5, 7, 9), draw.normal(5, 9))
    return y, layer.backward(draw.like(y))


def _attention(draw: Draw) -> Any:
    layer = t.Attention()
    y = layer.forward(draw.normal(5, 7, 9), draw.normal(5, 9))
    return y, layer.attention_weight, layer.backward(draw.like(y))


def _time_attention(draw: Draw) -> Any:
    results = []
    for N, S, T, H in [(5, 7, 6, 9), (24, 30, 25, 100)]:
        layer = t.TimeAttention()
        y = layer.forward(draw.normal(N, S, H), draw.normal(N, T, H))
        results.append([y, layer.attention_weights, layer.backward(draw.like(y))])
    return results


def _embedding(draw: Draw) -> Any:
    layer = t.TimeEmbedding(draw.normal(11, 6))
    y = layer.forward(draw.ids(11, 4, 7))
    layer.backward(draw.like(y))
    return y, _copied(layer.grads)


def _affine(draw: Draw) -> Any:
    layers = [t.TimeAffine(draw.weights(9, 13), draw.weights(13))]
    layers.append(t.TimeAffine(draw.weights(13, 9).T, draw.weights(13)))
    results = []
    for layer in layers:
        y = layer.forward(draw.normal(4, 7, 9))
        results.append([y, layer.backward(draw.like(y)), _copied(layer.grads)])
    return results


def _dropout(draw: Draw) -> Any:
    layer, x = t.TimeDropout(0.3), draw.normal(4, 7, 9)
    np.random.seed(5)  # of the global generator, from which this layer draws
    y = layer.forward(x)
    dx = layer.backward(draw.like(x))
    layer.train_flg = False
    return y, dx, layer.forward(x)


def _softmax(draw: Draw) -> Any:
    layer, x = t.TimeSoftmaxWithLoss(), draw.normal(4, 7, 9)
    targets = draw.ids(9, 4, 7)
    onehot = np.eye(9, dtype=np.int64)[targets]
    targets[0, :3] = -1
    return [
        [layer.forward(x, each), layer.backward(factor)]
        for each, factor in [(targets, 1), (onehot, 0.5)]
    ]


def _sigmoid(draw: Draw) -> Any:
    layer, x = t.TimeSigmoidWithLoss(), draw.normal(4, 7, scale=3.0)
    return layer.forward(x, draw.ids(2, 4, 7)), layer.backward(), layer.backward(0.5)
