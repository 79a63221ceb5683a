"""The operations without a recurrence: maps, loss, attention, updates of parameters."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from digests.record import Cases, Draw, call
from fastrnn import ops

SCORES = ("dot", "scaled_dot", "general", "additive", "multi_head")
# N, Tq, Tk, Dq, Dk, Dv, A
ATTENTION_SIZES = [
    (1, 1, 1, 1, 3, 1, 1),
    (4, 3, 5, 7, 9, 5, 11),
    (20, 1, 12, 17, 19, 13, 6),
    (6, 12, 7, 33, 40, 18, 21),
    (3, 0, 4, 5, 6, 7, 3),
    (24, 20, 30, 96, 100, 90, 70),
]
UPDATES: dict[str, tuple[int, dict[str, float]]] = {
    "sgd": (0, {"lr": 0.03}),
    "momentum": (1, {"lr": 0.03, "momentum": 0.85}),
    "adagrad": (1, {"lr": 0.03, "eps": 1e-7}),
    "rmsprop": (1, {"lr": 0.03, "rho": 0.9, "eps": 1e-7}),
    "adam": (2, {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-7, "step": 3}),
    "adamw": (
        2,
        {
            "lr": 0.01,
            "beta1": 0.8,
            "beta2": 0.95,
            "eps": 1e-7,
            "step": 2,
            "weight_decay": 0.1,
        },
    ),
}


def cases() -> Cases:
    for size in [(1, 1, 1), (3, 5, 7), (20, 17, 33), (0, 4, 3), (13, 64, 19), (300, 130, 150)]:
        for bias in (True, False):
            yield f"linear/{size}/{bias}".replace(" ", ""), partial(_linear, size=size, bias=bias)
    for shape in [(1,), (3, 0), (5, 7, 3), (20, 19), (400, 700)]:
        name = "x".join(map(str, shape))
        yield f"tanh/{name}", partial(_tanh, shape=shape)
        yield f"dropout/{name}", partial(_dropout, shape=shape)
        yield f"scale/{name}", partial(_scale, shape=shape)
        for update in UPDATES:
            yield f"{update}/{name}", partial(_update, update=update, shape=shape)
    for V, D, N in [(1, 1, 1), (7, 5, 20), (40, 33, 3), (300, 64, 900)]:
        yield f"embedding/{V}x{D}x{N}", partial(_embedding, V=V, D=D, N=N)
    for rows, V in [(1, 3), (20, 17), (0, 4), (7, 101), (300, 900)]:
        yield f"cross_entropy/{rows}x{V}", partial(_cross_entropy, rows=rows, V=V)
    for score in SCORES:
        for index, size in enumerate(ATTENTION_SIZES):
            for ragged in (False, True):
                run = partial(_attention, score=score, size=size, ragged=ragged)
                yield f"attention/{score}/{index}/{ragged}", run


def _linear(draw: Draw, size: tuple[int, int, int], bias: bool) -> Any:
    M, D, O = size  # noqa: E741
    x, W = draw.normal(M, D), draw.weights(D, O)
    b = draw.normal(O) if bias else None
    y, stash = ops.linear_forward(x, W, b)
    gradients = ops.linear_backward(draw.normal(M, O), stash)
    stack = x.reshape(1, M, D)
    as_it_lies = ops.linear(stack, np.asfortranarray(W), b)
    return {"y": ops.linear(x, W, b), "train": y, "grads": gradients, "turned": as_it_lies}


def _tanh(draw: Draw, shape: tuple[int, ...]) -> Any:
    x = draw.normal(*shape, scale=2.0)
    y, stash = ops.tanh_forward(x)
    return ops.tanh(x), y, ops.tanh_backward(draw.normal(*shape), stash)


def _dropout(draw: Draw, shape: tuple[int, ...]) -> Any:
    x = draw.normal(*shape)
    y, stash = ops.dropout_forward(x, 0.3, rng=np.random.default_rng(draw.seed))
    dx = ops.dropout_backward(draw.normal(*shape), stash)
    return ops.dropout(x, 0.6, rng=np.random.default_rng(1)), y, dx


def _scale(draw: Draw, shape: tuple[int, ...]) -> Any:
    x = draw.normal(*shape)
    norm = ops.squared_norm(x)
    ops.scale_in_place(x, 0.37)
    return norm, x


def _update(draw: Draw, update: str, shape: tuple[int, ...]) -> Any:
    moments, options = UPDATES[update]
    function = getattr(ops, f"{update.removesuffix('w')}_update")
    arrays = [draw.normal(*shape) for _ in range(2)]
    arrays += [np.abs(draw.normal(*shape, scale=0.1)) for _ in range(moments)]
    for _ in range(2):
        function(*arrays, **options)
    return arrays


def _embedding(draw: Draw, V: int, D: int, N: int) -> Any:
    W, ids = draw.normal(V, D), draw.ids(V, N)
    y, stash = ops.embedding_forward(ids, W)
    return ops.embedding(ids, W), y, ops.embedding_backward(draw.normal(N, D), stash)


def _cross_entropy(draw: Draw, rows: int, V: int) -> Any:
    logits, targets = draw.normal(rows, V, scale=3.0), draw.ids(V, rows)
    masked = np.where(draw.rng.random(rows) < 0.3, -1, targets)
    results = []
    for wanted, ignore, smoothing in [(targets, None, 0.0), (masked, -1, 0.1), (targets, 1, 0.2)]:
        options = {"ignore_index": ignore, "label_smoothing": smoothing}
        loss, stash = ops.softmax_cross_entropy_forward(logits, wanted, **options)
        own = ops.softmax_cross_entropy(logits, wanted, **options)
        grads = [ops.softmax_cross_entropy_backward(d, stash).copy() for d in (1.0, -2.5)]
        results.append([own, loss, grads])
    return results


def score_weights(draw: Draw, score: str, Dq: int, Dk: int, Dv: int, A: int) -> tuple[Any, ...]:
    """The weights that a score has."""
    shapes = {
        "general": [(Dq, Dk)],
        "additive": [(Dq, A), (Dk, A), (A,)],
        "multi_head": [(Dq, A), (Dk, A), (Dv, A), (A, Dv)],
    }
    return tuple(draw.weights(*shape) for shape in shapes.get(score, []))


def _attention(draw: Draw, score: str, size: tuple[int, ...], ragged: bool) -> Any:
    N, Tq, Tk, Dq, Dk, Dv, A = size
    Dq = Dk if score in ("dot", "scaled_dot") else Dq
    heads = 3 if score == "multi_head" else 1
    weights = score_weights(draw, score, Dq, Dk, Dv, heads * A)
    query, keys, values = draw.normal(N, Tq, Dq), draw.normal(N, Tk, Dk), draw.normal(N, Tk, Dv)
    options = {"score": score, "num_heads": heads}
    options["lengths"] = draw.lengths(N, Tk) if ragged else None
    *results, stash = call(ops.attention_forward, query, keys, values, weights, **options)
    upstream = [draw.normal(*result.shape) for result in results]
    grads = [
        ops.attention_backward(*upstream, stash),
        ops.attention_backward(upstream[0], None, stash),
    ]
    plain = call(ops.attention, query, keys, values, weights, **options)
    return {"plain": plain, "train": results, "grads": grads, "shared": _shared(draw, size, score)}


def _shared(draw: Draw, size: tuple[int, ...], score: str) -> Any:
    """Gradients where the keys are the values."""
    N, Tq, Tk, _, D, _, A = size
    keys, query = draw.normal(N, Tk, D), draw.normal(N, Tq, D)
    weights = score_weights(draw, score, D, D, D, A)
    _, _, stash = ops.attention_forward(query, keys, keys, weights, score=score)
    return ops.attention_backward(draw.normal(N, Tq, D), None, stash, shared=True)
