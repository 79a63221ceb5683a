"""Schedules of scheduled sampling: the probability of feeding a decoder its own token.

S. Bengio, O. Vinyals, N. Jaitly and N. Shazeer, "Scheduled sampling for sequence prediction with
recurrent neural networks", 2015, section 2.4. The paper's schedules are the probability of the
true token, which falls from 1; the rates here are 1 minus that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from fastrnn import _check as check
from fastrnn.training.protocol import Described


class SamplingSchedule(Described, ABC):
    """The base class of schedules: the rate is a function of the position in the run.

    Epochs are counted from 0, with fractions: 2.25 is after a quarter of the third epoch.
    """

    @abstractmethod
    def rate(self, epoch: float) -> float:
        """Return the probability of feeding the model's own token at this point of the run."""


class ConstantSampling(SamplingSchedule):
    """A constant rate in [0, 1]."""

    def __init__(self, rate: float) -> None:
        self._rate = check.rate("ConstantSampling", "rate", rate)

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"rate": self._rate}

    def rate(self, epoch: float) -> float:
        """Return the rate."""
        return self._rate


class LinearSampling(SamplingSchedule):
    """A rate that changes linearly from `first` to `last` over `epochs`, then stays."""

    _options = ("epochs", "first", "last")

    def __init__(self, epochs: float, *, first: float = 0.0, last: float = 1.0) -> None:
        self.epochs = check.number("LinearSampling", "epochs", epochs, "positive")
        self.first = check.rate("LinearSampling", "first", first)
        self.last = check.rate("LinearSampling", "last", last)

    def rate(self, epoch: float) -> float:
        """Return ``first + (last - first) * min(epoch / epochs, 1)``."""
        return self.first + (self.last - self.first) * min(epoch / self.epochs, 1.0)


class InverseSigmoidSampling(SamplingSchedule):
    """A rate that rises as a sigmoid from nearly 0 to 1 and is 1/2 at the epoch `half`.

    The paper feeds the true token with the probability ``k / (k + exp(i / k))`` in batch i, k > 1.
    It is 1/2 at ``i = k ln k``. With ``i = k ln k * epoch / half`` the probability is
    ``1 / (1 + k ** (epoch / half - 1))``.

    Parameters
    ----------
    half : float
        Epoch at which the rate is 1/2.
    k : float
        Steepness, above 1; the rate begins at ``1 / (1 + k)``.
    """

    _options = ("half", "k")

    def __init__(self, half: float, *, k: float = 100.0) -> None:
        self.half = check.number("InverseSigmoidSampling", "half", half, "positive")
        self.k = check.number("InverseSigmoidSampling", "k", k, "above 1")

    def rate(self, epoch: float) -> float:
        """Return ``1 - 1 / (1 + k ** (epoch / half - 1))``."""
        return float(1.0 / (1.0 + self.k ** (1.0 - epoch / self.half)))
