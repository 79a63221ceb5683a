from __future__ import annotations

import math

import numpy as np
import pytest
from support.small_model import SmallModel

from fastrnn.data import Batches
from fastrnn.training import exact_match, mean_loss, perplexity


def test_mean_loss(rng):
    x, y = rng.standard_normal((10, 5)), rng.standard_normal((10, 3))
    model = SmallModel()
    model.buffers = {"mean": rng.standard_normal(5)}
    batches = Batches(x, y, batch_size=4, seed=3)
    result = mean_loss(model, batches)
    assert model.buffers == {} and not model.training
    model.reset()
    losses = [model.loss(*batch) for batch in batches.epoch(0)]
    assert result == pytest.approx(sum(losses) / 3, rel=1e-14)
    assert perplexity(model, batches) == pytest.approx(math.exp(result), rel=1e-14)


def test_perplexity_overflows_to_inf(rng):
    batches = Batches(rng.standard_normal((4, 5)), np.full((4, 3), 1e3), batch_size=4)
    assert perplexity(SmallModel(), batches) == math.inf


def test_no_batches():
    class Nothing:
        def __len__(self):
            return 0

        def epoch(self, k):
            return iter(())

    with pytest.raises(ValueError, match=r"^mean_loss: no batches$"):
        mean_loss(SmallModel(), Nothing())


@pytest.mark.parametrize(
    ("predicted", "target", "same"),
    [
        ([5, 6, 2], [5, 6, 2], True),
        ([5, 6, 2, 0, 0], [5, 6, 2], True),
        ([5, 6, 2, 7, 2], [5, 6, 2, 0, 0, 0], True),
        ([5, 6, 2], [5, 6, 7, 2], False),
        ([5, 6, 7, 2], [5, 6, 2, 0], False),
        ([5, 6], [5, 6, 2], False),
        ([5, 6, 0], [5, 6], True),
        ([2, 9], [2, 8], True),
        ([5, 7, 2], [5, 6, 2], False),
        ([], [2], False),
    ],
)
def test_exact_match_of_a_row(predicted, target, same):
    assert exact_match(np.array([predicted], dtype=int), np.array([target])) == same


def test_exact_match_with_another_eos():
    predicted, target = np.array([[5, 9, 3]]), np.array([[5, 9, 4]])
    assert exact_match(predicted, target, eos=9) == 1
    assert exact_match(predicted, target) == 0


def test_exact_match_is_the_share():
    predicted = np.array([[5, 2, 0], [5, 6, 2], [6, 2, 9], [7, 2, 0]])
    assert exact_match(predicted, np.array([[5, 2], [5, 2], [6, 2], [8, 2]])) == 0.5


@pytest.mark.parametrize(("a", "b"), [((3,), (3,)), ((2, 3), (3, 3)), ((0, 2), (0, 2))])
def test_exact_match_bad_shapes(a, b):
    with pytest.raises(ValueError, match=r"^exact_match: predicted must be"):
        exact_match(np.zeros(a, int), np.zeros(b, int))


def test_batches_that_are_an_iterator():
    with pytest.raises(TypeError, match=r"^mean_loss: batches must be .*, got list_iterator$"):
        mean_loss(SmallModel(), iter([]))
