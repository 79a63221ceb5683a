"""Embedding, Linear, Dropout, SoftmaxCrossEntropy, Attention."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient
from support.problems import SCORES

import fastrnn
from fastrnn import ops, reference

RNG = np.random.default_rng(1)
IDS = RNG.integers(0, 6, (3, 4))
X = RNG.standard_normal((3, 4, 5))
QUERY, KEYS, VALUES = (RNG.standard_normal(s) for s in [(3, 2, 5), (3, 4, 6), (3, 4, 2)])


def attention(score, **options):
    return fastrnn.Attention(5, 6, 3, score=score, dtype="float64", rng=2, **options)


CASES = {  # a layer, its arguments
    "embedding": (lambda: fastrnn.Embedding(6, 5, dtype="float64", rng=2), (IDS,)),
    "linear": (lambda: fastrnn.Linear(5, 2, dtype="float64", rng=2), (X,)),
    "linear without bias": (
        lambda: fastrnn.Linear(5, 2, bias=False, dtype="float64", rng=2),
        (X,),
    ),
    "tanh": (lambda: fastrnn.Tanh(), (X,)),
    "dropout": (lambda: fastrnn.Dropout(0.4, rng=2), (X,)),
    "loss": (lambda: fastrnn.SoftmaxCrossEntropy(), (X, IDS % 5)),
    "loss with ignore_index": (lambda: fastrnn.SoftmaxCrossEntropy(3), (X, IDS % 5)),
    "smoothed loss": (lambda: fastrnn.SoftmaxCrossEntropy(label_smoothing=0.1), (X, IDS % 5)),
    "dot": (lambda: attention("dot"), (QUERY, X, VALUES)),
    "scaled_dot": (lambda: attention("scaled_dot"), (QUERY, X)),
    "general": (lambda: attention("general"), (QUERY, KEYS, VALUES)),
    "additive": (lambda: attention("additive"), (QUERY, KEYS)),
    "multi_head": (lambda: attention("multi_head", num_heads=3), (QUERY, KEYS)),
    "multi_head with values": (
        lambda: attention("multi_head", value_size=VALUES.shape[2]),
        (QUERY, KEYS, VALUES),
    ),
}


@pytest.fixture(params=CASES)
def case(request, as_made):
    make, arguments = CASES[request.param]
    return as_made(make()), tuple(argument.copy() for argument in arguments)


def results(output):
    return output if isinstance(output, tuple) else (output,)


def test_gradients_by_finite_differences(case, backend):
    layer, arguments = case
    rng = np.random.default_rng(3)
    start = layer.rng.bit_generator.state
    for param in layer.params.values():
        param[...] = rng.standard_normal(param.shape)
    upstream = [rng.standard_normal(np.shape(out)) for out in results(layer(*arguments))]
    dinputs = results(layer.backward(*upstream))
    grads = {key: grad.copy() for key, grad in layer.grads.items()}

    def objective():
        layer.rng.bit_generator.state = start
        outputs = results(layer(*arguments))
        return float(sum(np.sum(d * out) for d, out in zip(upstream, outputs, strict=True)))

    for argument, grad in zip(arguments, dinputs, strict=False):
        if argument.dtype == np.float64:
            assert_close(grad, numeric_gradient(objective, argument), 1e-7)
        else:
            assert grad is None
    for key, grad in grads.items():
        assert_close(grad, numeric_gradient(objective, layer.params[key]), 1e-7, key)


def test_eval_keeps_nothing(case, backend):
    layer, arguments = case
    layer(*arguments)
    layer.eval()
    before = dict(vars(layer))
    layer(*arguments)
    assert vars(layer) == before and layer._tape is None


def test_backward_twice_overwrites(case, backend):
    layer, arguments = case
    upstream = [np.sin(out) for out in results(layer(*arguments))]
    first = [a for a in results(layer.backward(*upstream)) if a is not None]
    kept = {key: grad.copy() for key, grad in layer.grads.items()}
    second = [a for a in results(layer.backward(*upstream)) if a is not None]
    for array, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(array, again)
    for key, grad in kept.items():
        assert grad.any()
        np.testing.assert_array_equal(layer.grads[key], grad)


def test_config_and_copy(case, backend):
    layer, _ = case
    rng = {"rng": 2} if layer.params else {}
    twin = type(layer)(**json.loads(json.dumps(layer.config())), **rng)
    for other in (twin, copy.deepcopy(layer)):
        assert other.config() == layer.config()
        for key, param in layer.params.items():
            np.testing.assert_array_equal(other.params[key], param)


def test_reference_twin(case, backend):
    layer, arguments = case
    twin = getattr(reference, type(layer).__name__)(**layer.config())
    twin.params.update(layer.params)
    for out, want in zip(
        results(twin.eval()(*arguments)), results(layer.eval()(*arguments)), strict=True
    ):
        assert_close(out, want, 1e-11)


def test_embedding_looks_up(backend):
    layer = fastrnn.Embedding(6, 5, rng=1)
    for ids in (IDS, IDS[0, 0], IDS[:0]):
        np.testing.assert_array_equal(layer(ids), layer.params["W"][ids])


def test_linear_is_affine(backend):
    layer = fastrnn.Linear(5, 2, dtype="float64", rng=1)
    layer.params["b"][...] = 3.0, 4.0
    assert_close(layer(X), X @ layer.params["W"] + [3, 4], 1e-12)


def test_dropout_in_eval_mode_is_the_identity(backend):
    x = X.astype("float32")
    assert fastrnn.Dropout(0.5).eval()(x) is x
    assert (fastrnn.Dropout(0.5, rng=1)(x) == 0).any()


def test_loss_without_targets_is_zero(backend):
    layer = fastrnn.SoftmaxCrossEntropy(ignore_index=-1)
    assert layer(X, np.full((3, 4), -1)) == 0
    assert not layer.backward().any()


def test_loss_gradient_scales(backend):
    layer = fastrnn.SoftmaxCrossEntropy()
    layer(X, IDS % 5)
    assert_close(layer.backward(0.5), 0.5 * layer.backward(), 1e-12)


def test_loss_is_smoothed_in_train_mode_only(backend):
    plain, smoothed = fastrnn.SoftmaxCrossEntropy(), fastrnn.SoftmaxCrossEntropy(None, 0.2)
    logp = X - np.log(np.exp(X).sum(axis=-1, keepdims=True))
    targets = IDS % 5
    wanted = 0.8 * plain(X, targets) - 0.2 * logp.mean()
    assert smoothed(X, targets) == pytest.approx(wanted, rel=1e-12)
    assert smoothed.eval()(X, targets) == plain.eval()(X, targets)


@pytest.mark.parametrize("score", SCORES)
def test_attention_ignores_what_is_beyond_the_lengths(score, backend):
    rng = np.random.default_rng(4)
    keys = rng.standard_normal((3, 4, 5))
    layer = fastrnn.Attention(5, 5, score=score, value_size=2, dtype="float64", rng=5)
    context, weights = layer(QUERY, keys, VALUES, lengths=[4, 2, 0])
    assert_close(weights.sum(axis=-1), [[1, 1], [1, 1], [0, 0]], 1e-12)
    assert not weights[1, :, 2:].any() and not context[2].any()
    _, dkeys, dvalues = layer.backward(np.sin(context) + 1)
    assert not dkeys[1, 2:].any() and not dvalues[1, 2:].any() and not dkeys[2].any()
    params = tuple(layer.params.values())
    wanted, _ = ops.attention(QUERY[1:2], keys[1:2, :2], VALUES[1:2, :2], params, score=score)
    assert_close(context[1:2], wanted, 1e-12)


def test_attention_size_defaults_to_the_query_size():
    layer = fastrnn.Attention(5, 6, score="additive")
    assert {key: param.shape for key, param in layer.params.items()} == {
        "Wq": (5, 5), "Wk": (6, 5), "v": (5,),
    }  # fmt: skip


def test_initial_parameters():
    linear = fastrnn.Linear(400, 300, rng=1)
    assert linear.params["W"].std() == pytest.approx(1 / 20, rel=0.02)
    assert not linear.params["b"].any()
    embedding = fastrnn.Embedding(300, 400, rng=1)
    assert embedding.params["W"].std() == pytest.approx(1 / 20, rel=0.02)
