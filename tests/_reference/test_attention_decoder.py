"""The decoder with attention: gradients by finite differences, and what it says by other means."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import SCORES, assert_close, decoder_problem, numeric_gradient

from fastrnn import _reference

CONTEXTS = ("input_feeding", "input")
CELLS = ("rnn_tanh", "lstm", "gru_after", "gru_before")
# Every option at least once with every other kind of option.
KINDS = [
    {"layers": 1, "R": None},
    {"layers": 1, "R": 3, "ragged": True},
    {"layers": 3, "R": 3, "residual": True, "dropped": True, "ragged": True},
    {"layers": 4, "R": None, "residual": True},
    {"layers": 2, "R": 3, "dropped": True},
]


def assert_gradients(problem):
    """Compare every gradient with central differences."""
    gradients = problem.backward(_reference, problem.forward(_reference)[-1])
    assert gradients.keys() == problem.arguments.keys()

    def objective():
        return problem.objective(problem.forward(_reference, train=False))

    for name, array in problem.arguments.items():
        assert_close(gradients[name], numeric_gradient(objective, array), 1e-6, name)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("cell", CELLS)
def test_every_gradient_by_finite_differences(cell, context, kind):
    rng = np.random.default_rng(1)
    assert_gradients(decoder_problem(cell, rng, context=context, T=2, N=2, **kind))


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("score", SCORES)
def test_gradients_of_every_score(score, context):
    rng = np.random.default_rng(2)
    assert_gradients(decoder_problem("gru_after", rng, context=context, score=score, ragged=True))
