"""Compiled decoding against the reference, and each sentence against itself alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.decoders import (
    CELLS,
    CONTEXTS,
    END,
    MODES,
    assert_same,
    decode,
    random_decoder,
    some,
)
from support.problems import SCORES

pytestmark = pytest.mark.usefixtures("isa")

PROBLEMS = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(CELLS),
        "context": st.sampled_from(CONTEXTS),
        "score": st.sampled_from(SCORES),
        "readout": st.booleans(),
        "residual": st.booleans(),
        "N": st.integers(0, 5),
        "S": st.integers(1, 9),
        "V": st.sampled_from([3, 4, 7, 19, 40]),
        "L": st.integers(1, 4),
        "H": st.sampled_from([1, 2, 5, 16, 17]),
        "P": st.sampled_from([0, 0, 3]),
    }
)
# Its state comes to rest; with the plain C kernels rounding then chooses otherwise than in NumPy.
AT_REST = {
    "cell": "rnn",
    "context": "input_feeding",
    "score": "multi_head",
    "readout": False,
    "residual": False,
    "N": 4,
    "S": 6,
    "V": 4,
    "L": 1,
    "H": 1,
    "P": 3,
}
EXAMPLES = settings(deadline=None, max_examples=40)


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    return request.param


@given(mode=st.sampled_from(sorted(MODES)), seed=st.integers(0, 2**32), sizes=PROBLEMS)
@example(mode="beam", seed=5038, sizes=AT_REST)
@EXAMPLES
def test_agrees_with_the_reference(mode, seed, sizes):
    problem = random_decoder(np.random.default_rng(seed), **sizes)
    assert_same(decode(mode, problem), decode(mode, problem, backend="reference"), 1e-7)


@pytest.mark.parametrize(("cell", "context"), list(zip(CELLS, CONTEXTS, strict=True)))
def test_agrees_in_float32_as_far_as_rounding_lets_it(mode, cell, context):
    """Numbers are compared everywhere, tokens where no other target is nearly as good."""
    problem = random_decoder(np.random.default_rng(6), cell, context, N=12, dtype="f4")
    actual, wanted = decode(mode, problem), decode(mode, problem, backend="reference")
    compared = 0
    for results, expected in zip(actual, wanted, strict=True):
        scores, others = ([numbers[0] for _, numbers, _ in r] for r in (results, expected))
        np.testing.assert_allclose(scores, others, 1e-3, 1e-3)
        if np.abs(np.diff(others)).min(initial=1) > 1e-2:
            compared += 1
            assert_same([results], [expected], 1e-3)
    assert compared > 3


@given(
    mode=st.sampled_from(sorted(MODES)),
    seed=st.integers(0, 2**32),
    sizes=PROBLEMS,
    order=st.randoms(use_true_random=False),
)
@EXAMPLES
def test_a_sentence_gets_what_it_gets_alone(dtype, mode, seed, sizes, order):
    weights, states, given = random_decoder(np.random.default_rng(seed), dtype=dtype, **sizes)
    together = decode(mode, (weights, states, given))
    shuffled = list(range(sizes["N"]))
    order.shuffle(shuffled)
    reordered = decode(mode, (weights, *some(states, given, shuffled)))
    np.testing.assert_equal(reordered, [together[n] for n in shuffled])
    for n in range(sizes["N"]):
        own_states, own = some(states, given, slice(n, n + 1))
        if "memory" in own:
            padding = own["lengths"][0]
            own["memory"] = own["memory"][:, : max(padding, 1)]
        alone = decode(mode, (weights, own_states, own))
        for (tokens, numbers, attention), (other, others, other_attention) in zip(
            alone[0], together[n], strict=True
        ):
            np.testing.assert_array_equal(tokens, other)
            np.testing.assert_array_equal(numbers, others)
            if attention is not None:
                width = attention.shape[1]
                np.testing.assert_array_equal(attention, other_attention[:, :width])
                assert not other_attention[:, width:].any()


def test_a_batch_larger_than_a_block_on_any_number_of_threads(mode):
    """Sentences leave the block and others come in, in different company on each thread."""
    rng = np.random.default_rng(7)
    weights, states, given = random_decoder(rng, N=400, H=20, dtype="f4")
    wanted = decode(mode, (weights, states, given), num_threads=1)
    assert len({len(results[0][0]) for results in wanted}) > 3
    for threads in (2, 3):
        actual = decode(mode, (weights, states, given), num_threads=threads)
        np.testing.assert_equal(actual, wanted)
    some_states, own = some(states, given, slice(290, 300))
    np.testing.assert_equal(decode(mode, (weights, some_states, own)), wanted[290:300])


def test_targets_longer_than_the_first_memory(mode):
    problem = random_decoder(np.random.default_rng(8), N=2)
    problem[0].output[1][END] = -50
    options = {"max_length": 150}
    actual = decode(mode, problem, **options)
    assert all(len(tokens) == 150 for results in actual for tokens, _, _ in results)
    assert_same(actual, decode(mode, problem, backend="reference", **options), 1e-6)


def test_an_embedding_of_one_token_may_have_any_stride(mode):
    """NumPy takes a matrix of one row for contiguous whatever its stride."""
    weights, states, given = random_decoder(np.random.default_rng(10), V=1)
    far = np.lib.stride_tricks.as_strided(weights.embedding, (1, 3), (2**40, 8))
    assert far.flags.c_contiguous
    tokens = {"start": 0, "end": 0}
    actual = decode(mode, (replace(weights, embedding=far), states, given), **tokens)
    np.testing.assert_equal(actual, decode(mode, (weights, states, given), **tokens))


@pytest.mark.parametrize("where", ["states", "memory", "embedding", "output"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_finite_still_gives_a_target(mode, where):
    weights, states, given = random_decoder(np.random.default_rng(9), "gru", context="output")
    place = {
        "states": states[0][:, 1],
        "memory": given["memory"][1],
        "embedding": weights.embedding[3:4],
        "output": weights.output[0][:, 3],
    }[where]
    for value in (np.nan, np.inf, -np.inf):
        place[...] = value
        found = decode(mode, (weights, states, given))
        assert all(len(results) >= 1 for results in found)
