"""Extreme magnitudes, infinities and NaN: every operation against the reference.

One array at a time is spoilt: multiplied by a power of ten, or given an infinity or a NaN. Powers
are such that no product of two arrays overflows, because where a sum of products does, infinite or
NaN, depends on its order. Gradients of saturated functions are differences of nearly equal numbers;
only their NaN and infinities are compared.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.decoders import random_decoder
from support.problems import SCORES, VARIANTS, attention_problem, recurrent_problem

from fastrnn import _kernels, _reference, ops

pytestmark = [
    pytest.mark.usefixtures("isa"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning"),
]

EXAMPLES = settings(deadline=None, max_examples=40, derandomize=True)
SEEDS = st.integers(0, 2**32)
SPECIAL = st.sampled_from([np.nan, np.inf, -np.inf])
# A share of the exponents of the dtype, or what one number becomes.
CHANGES = st.floats(-1, 1) | SPECIAL
WIDTHS = st.sampled_from([1, 2, 3, 7, 16, 17, 33])


def spoil(array, change, rng, share=0.3):
    """Multiply an array by a power of ten, or put a special value in one place."""
    if not array.size:
        return
    if np.isfinite(change):
        largest = share * np.log10(np.finfo(array.dtype).max)
        array *= np.array(10.0 ** (change * largest), array.dtype)
    else:
        array.flat[rng.integers(array.size)] = change


def assert_same_finite(actual, wanted):
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.isfinite(actual[name]), np.isfinite(array), name)


def assert_close(assert_agree, actual, wanted, exact):
    """Compare the finite numbers; the others must be in the same places."""
    assert_same_finite(actual, wanted)
    finite = {name: np.isfinite(array) for name, array in wanted.items()}
    parts = [
        {name: array[finite[name]] for name, array in arrays.items()}
        for arrays in (actual, wanted, exact)
    ]
    assert_agree(*parts)


def rows_of(module, wide, logits, targets, smoothing):
    """The loss and the gradient of each row on its own; what is NaN in one would hide the rest."""
    pairs = [
        module.softmax_cross_entropy(
            logits[row : row + 1].astype(wide),
            targets[row : row + 1],
            ignore_index=None,
            train=True,
            label_smoothing=smoothing,
        )
        for row in range(len(logits))
    ]
    losses = np.array([loss for loss, _ in pairs], wide)
    return {"loss": losses, "dlogits": np.concatenate([gradient for _, gradient in pairs])}


@given(
    seed=SEEDS,
    V=WIDTHS,
    magnitude=st.floats(-1, 1),
    equal=st.booleans(),
    special=st.none() | SPECIAL,
    smoothing=st.sampled_from([0.0, 0.1]),
)
@example(seed=0, V=3, magnitude=0.37, equal=True, special=None, smoothing=0.0)
@EXAMPLES
def test_softmax_cross_entropy(dtype, assert_agree, seed, V, magnitude, equal, special, smoothing):
    rng = np.random.default_rng(seed)
    logits = np.ones((3, V), dtype) if equal else rng.standard_normal((3, V)).astype(dtype)
    spoil(logits, magnitude, rng, share=0.95)
    if special is not None:
        logits[0, rng.integers(V)] = special
    targets = rng.integers(0, V, 3)
    wide = np.float64 if dtype == "float32" else np.longdouble
    arguments = logits, targets, smoothing
    actual = rows_of(_kernels, dtype, *arguments)
    assert_close(
        assert_agree,
        actual,
        rows_of(_reference, dtype, *arguments),
        rows_of(_reference, wide, *arguments),
    )
    if equal and special is None:
        np.testing.assert_allclose(actual["loss"], np.log(V), 1e-6, 1e-6)


def attention(score, seed, sizes, where, change, dtype):
    problem = attention_problem(score, np.random.default_rng(seed), **sizes, dtype=dtype)
    arrays = [*problem.arguments.values(), problem.dcontext, problem.dattention]
    spoil(arrays[where % len(arrays)], change, np.random.default_rng(seed))

    def run(module, wide=dtype):
        problem.inputs = {name: array.astype(wide) for name, array in problem.inputs.items()}
        problem.weights = {name: array.astype(wide) for name, array in problem.weights.items()}
        context, attention, stash = problem.forward(module)
        return {"context": context, "attention": attention}, problem.backward(module, stash)

    return run


@given(
    seed=SEEDS,
    sizes=st.fixed_dictionaries(dict.fromkeys(("Tk", "Dk", "Dv", "A"), WIDTHS)),
    where=st.integers(0, 8),
    change=CHANGES,
)
@EXAMPLES
@pytest.mark.parametrize("score", SCORES)
def test_attention(score, dtype, assert_agree, seed, sizes, where, change):
    run = attention(score, seed, sizes, where, change, dtype)
    actual, gradients = run(_kernels)
    wanted, wanted_gradients = run(_reference)
    exact, _ = run(_reference, np.float64 if dtype == "float32" else np.longdouble)
    assert_close(assert_agree, actual, wanted, exact)
    assert_same_finite(gradients, wanted_gradients)


@given(seed=SEEDS, D=WIDTHS, H=WIDTHS, where=st.integers(0, 10), change=CHANGES)
@EXAMPLES
@pytest.mark.parametrize("variant", VARIANTS)
def test_cells(variant, dtype, assert_agree, seed, D, H, where, change):
    problem = recurrent_problem(variant, np.random.default_rng(seed), T=2, D=D, H=H, dtype=dtype)
    arrays = [*problem.arguments.values(), problem.dy, *problem.dstates.values()]
    spoil(arrays[where % len(arrays)], change, np.random.default_rng(seed))
    outputs, gradients = [], []
    for module in (_kernels, _reference):
        y, finals, stash = problem.forward(module)
        stepped = problem.step(module, problem.x[:, 0].copy(), tuple(problem.states.values()))
        arrays = [y, *finals, *stepped]
        outputs.append({str(k): array for k, array in enumerate(arrays)})
        gradients.append(problem.backward(module, stash))
    wide = problem.in_float64()
    y, finals, _ = wide.forward(_reference)
    stepped = wide.step(_reference, wide.x[:, 0], tuple(wide.states.values()))
    exact = {str(k): array for k, array in enumerate([y, *finals, *stepped])}
    assert_close(assert_agree, *outputs, exact)
    assert_same_finite(*gradients)


@given(seed=SEEDS, sizes=st.tuples(WIDTHS, WIDTHS, WIDTHS), where=st.integers(0, 3), change=CHANGES)
@EXAMPLES
def test_linear(dtype, assert_agree, seed, sizes, where, change):
    rng = np.random.default_rng(seed)
    M, D, O = sizes  # noqa: E741
    shapes = (M, D), (D, O), (O,), (M, O)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    spoil(arrays[where], change, rng)

    def run(module, wide):
        x, W, b, dy = (array.astype(wide) for array in arrays)
        y = module.linear_forward(x, W, b)
        dx, dW, db = module.linear_backward(dy, x, W, bias=True)
        return {"y": y, "dx": dx, "dW": dW, "db": db}

    exact = run(_reference, np.float64 if dtype == "float32" else np.longdouble)
    assert_close(assert_agree, run(_kernels, dtype), run(_reference, dtype), exact)


@given(seed=SEEDS, shape=st.tuples(WIDTHS, WIDTHS), change=CHANGES)
@EXAMPLES
def test_functions_without_products(dtype, seed, shape, change):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(dtype)
    spoil(x, change, rng, share=0.95)
    keep, ids = rng.random(shape) < 0.7, rng.integers(0, len(x), 5)
    for name, arguments in {
        "tanh": (x,),
        "tanh_backward": (x, np.tanh(x)),
        "dropout": (x, keep, 1.5),
        "embedding_forward": (ids, x),
        "embedding_backward": (x, rng.integers(0, 4, len(x)), 4),
    }.items():
        actual, wanted = (
            getattr(module, name)(*(np.copy(a) if a is x else a for a in arguments))
            for module in (_kernels, _reference)
        )
        tolerance = {"float32": 1e-5, "float64": 1e-11}[dtype]
        atol = np.abs(x[np.isfinite(x)]).max(initial=1) * tolerance
        np.testing.assert_allclose(actual, wanted, tolerance, atol, err_msg=name)


DECODINGS = {
    "greedy": (ops.decode_greedy, {}),
    "sample": (ops.decode_sample, {"seed": 1, "temperature": 0.7}),
    "top": (ops.decode_sample, {"seed": 2, "top_k": 3, "top_p": 0.8}),
    "beam": (ops.decode_beam, {"beam_size": 3, "end": 2}),
}


def decoded(name, weights, states, given, backend):
    """Tokens and log probabilities; of a beam those of the best."""
    function, options = DECODINGS[name]
    options = {"end": None, "max_length": 4, "start": 0, **given, **options, "backend": backend}
    result = function(weights, states, **options)
    if name == "beam":
        best = [found[0] for found in result]
        return [list(r.tokens) for r in best], [r.log_probability for r in best]
    return result.tokens.tolist(), result.log_probability


@given(seed=SEEDS, V=st.integers(3, 9), magnitude=st.floats(-1, 1), equal=st.booleans())
@example(seed=0, V=4, magnitude=0.6, equal=True)
@EXAMPLES
@pytest.mark.parametrize("name", DECODINGS)
def test_decoding(name, dtype, seed, V, magnitude, equal):
    rng = np.random.default_rng(seed)
    weights, states, given = random_decoder(rng, N=2, V=V, L=1, dtype=dtype)
    W, b = weights.output
    W[...] = 0  # logits are the biases, in either backend
    if equal:
        b[...] = 1
    if name == "beam":  # which goes by log p, in which tiny differences are lost
        magnitude = abs(magnitude)
    spoil(b, magnitude, rng, share=0.95)
    run = partial(decoded, name, weights, states, given)
    (tokens, log_p), (wanted, wanted_log_p) = run("compiled"), run("reference")
    assert tokens == wanted
    np.testing.assert_allclose(log_p, wanted_log_p, 1e-5, 1e-5)
    if equal:
        steps = [len(row) + (name == "beam") for row in wanted]  # which ends with its end mark
        np.testing.assert_allclose(log_p, -np.log(V) * np.array(steps), 1e-5)
