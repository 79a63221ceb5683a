"""Schedules of scheduled sampling, and the trainer that follows them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.small_model import SmallModel

from fastrnn.data import Batches
from fastrnn.training import (
    SGD,
    ConstantSampling,
    InverseSigmoidSampling,
    LinearSampling,
    Trainer,
)


@pytest.mark.parametrize("epoch", [0, 0.4, 1, 2.9, 3, 7.5, 10, 11.3, 1e6])
def test_formulas(epoch):
    assert ConstantSampling(0.3).rate(epoch) == 0.3
    assert LinearSampling(10).rate(epoch) == pytest.approx(min(epoch / 10, 1))
    linear = LinearSampling(4, first=0.1, last=0.5)
    assert linear.rate(epoch) == pytest.approx(0.1 + 0.4 * min(epoch / 4, 1))


@pytest.mark.parametrize("k", [2, 30.0, 1000])
def test_inverse_sigmoid_is_that_of_the_paper(k):
    """With so many batches an epoch that half of the tokens are sampled at the epoch given."""
    half = 3
    schedule = InverseSigmoidSampling(half, k=k)
    assert schedule.rate(half) == pytest.approx(0.5)
    for epoch in (0, 0.5, 2.9, 4.5):
        batch = epoch / half * k * math.log(k)
        assert schedule.rate(epoch) == pytest.approx(1 - k / (k + math.exp(batch / k)))
    assert schedule.rate(1e9) == 1


def test_the_trainer_sets_the_rate_before_each_batch():
    class Model(SmallModel):
        sampling_rate = 0.9

        def loss(self, *batch):
            rates.append(self.sampling_rate)
            return super().loss(*batch)

    rates = []
    batches = Batches(np.ones((8, 5)), np.ones((8, 3)), batch_size=2)
    Trainer(Model(), SGD(0.1), sampling=LinearSampling(2), progress=False).fit(batches, epochs=3)
    np.testing.assert_allclose(rates, [*np.arange(8) / 8, 1, 1, 1, 1])
    rates.clear()
    Trainer(Model(), SGD(0.1), progress=False).fit(batches, epochs=1)
    assert rates == [0.9] * 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSampling(1.5), "ConstantSampling: rate must be in [0, 1], got 1.5"),
        (lambda: ConstantSampling(math.nan), "ConstantSampling: rate must be in [0, 1], got nan"),
        (lambda: LinearSampling(0), "LinearSampling: epochs must be positive, got 0"),
        (
            lambda: LinearSampling(2, first=-0.1),
            "LinearSampling: first must be in [0, 1], got -0.1",
        ),
        (lambda: LinearSampling(2, last=2), "LinearSampling: last must be in [0, 1], got 2"),
        (
            lambda: InverseSigmoidSampling(-1),
            "InverseSigmoidSampling: half must be positive, got -1",
        ),
        (
            lambda: InverseSigmoidSampling(1, k=1),
            "InverseSigmoidSampling: k must be above 1, got 1",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_a_model_without_a_rate():
    with pytest.raises(TypeError, match=r"needs a model with a sampling_rate, got SmallModel$"):
        Trainer(SmallModel(), SGD(0.1), sampling=ConstantSampling(0.1))
