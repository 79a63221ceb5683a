"""A backward after somebody has changed, in place, how an array of the forward lies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from support.problems import SCORES, VARIANTS, attention_problem, decoder_problem, recurrent_problem

import fastrnn
from fastrnn import ops
from fastrnn.ops import _recurrent
from fastrnn.ops.attention import SCORES as WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore:Setting the:DeprecationWarning")


def recurrent(variant):
    p = recurrent_problem(variant, np.random.default_rng(1), N=2, T=3, D=4, H=2)
    forward, backward = (getattr(ops, f"{p.cell.name}_{name}") for name in ("forward", "backward"))
    *_, stash = forward(*p.arguments.values(), **p.options)
    used = {"x": p.x, **p.weights}
    return used, lambda: backward(p.dy, *p.dstates.values(), stash)


def both_directions(variant):
    p, other = (
        recurrent_problem(variant, np.random.default_rng(k), N=2, T=3, D=4, H=2) for k in (1, 2)
    )
    cell = p.cell
    used = {"x": p.x}
    used |= {f"{key} of the second direction": array for key, array in other.weights.items()}
    weights = [[own.get(key) for key in cell.weights] for own in (p.weights, other.weights)]
    states = [None] * len(cell.states)
    *_, stash = _recurrent.forward(
        cell, p.x, states, weights, train=True, reverse=_recurrent.BOTH, options=p.options
    )
    return used, lambda: _recurrent.backward(cell, None, states, stash)


def of_ids(variant):
    p = recurrent_problem(variant, np.random.default_rng(1), N=2, T=9, D=4, H=2)
    cell = p.cell
    embedding, ids = np.random.default_rng(2).standard_normal((2, 4)), np.ones((2, 9), int)
    weights = [p.weights.get(key) for key in cell.weights]
    states = [None] * len(cell.states)
    *_, stash = _recurrent.forward(
        cell, ids, states, [weights], train=True, embedding=embedding, options=p.options,
        stacked=False,
    )  # fmt: skip
    return {"embedding": embedding}, lambda: _recurrent.backward(cell, None, states, stash)


def attention(score):
    p = attention_problem(score, np.random.default_rng(1))
    inputs, weights = p.inputs, p.weights
    options = {"score": score, "num_heads": p.heads}
    *_, stash = ops.attention_forward(*inputs.values(), list(weights.values()), **options)
    used = inputs | dict(zip(WEIGHTS[score], weights.values(), strict=True))
    return used, lambda: ops.attention_backward(p.dcontext, p.dattention, stash)


def decoder(context):
    kind = {"layers": 2, "dropped": True, "context": context}
    p = decoder_problem("gru_after", np.random.default_rng(1), **kind)
    *_, stash = ops.attention_decoder_forward(*p.inputs, **p.options)
    used = {"x": p.x, "memory": p.memory, "W": p.weights[0]}
    used |= zip(("Wc", "bc"), p.readout, strict=True)
    used |= {name: p.options[name] for name in ("drops", "drop_h")}
    for k, cell in enumerate(p.cells):
        used |= {f"{name}_l{k}": a for name, a in zip(("Wx", "Wh", "b", "bh"), cell, strict=True)}
    return used, lambda: ops.attention_decoder_backward(*p.upstream, stash)


def linear(_):
    x, W = np.ones((3, 4)), np.ones((4, 2))
    y, stash = ops.linear_forward(x, W)
    return {"x": x, "W": W}, lambda: ops.linear_backward(y, stash)


CASES = [
    *((recurrent, variant) for variant in VARIANTS),
    *((both_directions, variant) for variant in VARIANTS),
    *((of_ids, variant) for variant in VARIANTS),
    *((attention, score) for score in SCORES),
    *((decoder, context) for context in ("input_feeding", "input")),
    (linear, None),
]


def flatten(array):
    array.shape = (array.size,)


def add_an_axis(array):
    array.shape = (1, *array.shape)


def shrink(array):
    array.resize((1,) * array.ndim, refcheck=False)


def other_numbers(array):
    array.dtype = np.int64


@pytest.mark.parametrize("change", [flatten, add_an_axis, shrink, other_numbers])
@pytest.mark.parametrize(("make", "what"), CASES)
def test_a_change_is_noticed(make, what, change, backend):
    for name in make(what)[0]:
        used, run = make(what)
        run()
        before = used[name].shape, used[name].dtype
        change(used[name])
        if (used[name].shape, used[name].dtype) == before:
            continue  # a vector is flat
        with pytest.raises(
            ValueError, match=rf"^\w+: {name} must lie as in the forward, float64 \("
        ):
            run()


def test_strides_are_compared(backend):
    x, W = np.ones((4, 4)), np.ones((4, 4))
    y, stash = ops.linear_forward(x, W)
    x.strides = (0, 8)
    wanted = r"x must lie as in the forward, .* strides \(32, 8\), got .* strides \(0, 8\)$"
    with pytest.raises(ValueError, match=wanted):
        ops.linear_backward(y, stash)


@pytest.mark.parametrize("key", ["Wx_l1", "Wh_l0", "b_l0", "bh_l1"])
def test_a_parameter_of_a_layer(key, backend):
    layer = fastrnn.GRU(3, 4, 2, rng=1)
    y, _ = layer(np.ones((2, 5, 3), "float32"))
    kept = pickle.dumps(layer.grads)
    layer.params[key].shape = (1, layer.params[key].size)
    with pytest.raises(ValueError, match=r"^GRU: \w+ must lie as in the forward"):
        layer.backward(y)
    assert pickle.dumps(layer.grads) == kept


def test_what_becomes_of_a_gradient_does_not_matter_to_the_next_backward(backend):
    loss, logits = fastrnn.SoftmaxCrossEntropy(), np.random.default_rng(1).standard_normal((2, 3))
    loss(logits, [0, 2])
    first = loss.backward()
    wanted = first.copy()
    first.shape = (6,)
    np.testing.assert_array_equal(loss.backward(), wanted)
