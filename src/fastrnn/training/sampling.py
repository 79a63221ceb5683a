"""Schedules of scheduled sampling: how often a decoder in training is fed its own token.

S. Bengio, O. Vinyals, N. Jaitly and N. Shazeer, "Scheduled sampling for sequence prediction with
recurrent neural networks", 2015, section 2.4. They give the probability of the true token, which
falls from 1; the rates here are its complement.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from fastrnn.training.schedules import require


class SamplingSchedule(ABC):
    """What the Trainer asks of a schedule: nothing but the position decides.

    Epochs are counted from 0 and in fractions: 2.25 is after a quarter of the third epoch.
    """

    @abstractmethod
    def rate(self, epoch: float) -> float:
        """Give the probability of feeding the model's own token at this point of the run."""

    def config(self) -> dict[str, float]:
        """Give the constructor's arguments, which a resumed run must have again."""
        return {}


class ConstantSampling(SamplingSchedule):
    """The same rate all the time, in [0, 1]."""

    def __init__(self, rate: float) -> None:
        require("ConstantSampling", "rate", rate, 0 <= rate <= 1, "in [0, 1]")
        self._rate = float(rate)

    def config(self) -> dict[str, float]:
        """Give the constructor's arguments."""
        return {"rate": self._rate}

    def rate(self, epoch: float) -> float:
        """Give the rate."""
        return self._rate


class LinearSampling(SamplingSchedule):
    """From `first` to `last` in equal steps over `epochs`, then `last`."""

    def __init__(self, epochs: float, *, first: float = 0.0, last: float = 1.0) -> None:
        require("LinearSampling", "epochs", epochs, epochs > 0, "positive")
        require("LinearSampling", "first", first, 0 <= first <= 1, "in [0, 1]")
        require("LinearSampling", "last", last, 0 <= last <= 1, "in [0, 1]")
        self.epochs, self.first, self.last = epochs, float(first), float(last)

    def config(self) -> dict[str, float]:
        """Give the constructor's arguments."""
        return {"epochs": self.epochs, "first": self.first, "last": self.last}

    def rate(self, epoch: float) -> float:
        """Give ``first + (last - first) * min(epoch / epochs, 1)``."""
        return self.first + (self.last - self.first) * min(epoch / self.epochs, 1.0)


class InverseSigmoidSampling(SamplingSchedule):
    """Slowly at first, half of the tokens at the epoch `half`, then nearly all.

    The paper feeds the true token with the probability ``k / (k + exp(i / k))`` in batch i, k > 1.
    That is 1/2 where ``i = k ln k``; to count from there, not in batches, makes of it
    ``1 / (1 + k ** (epoch / half - 1))``.

    Parameters
    ----------
    half : float
        Epoch at which the rate is 1/2.
    k : float
        Above 1: the greater, the steeper; the rate begins at ``1 / (1 + k)``.
    """

    def __init__(self, half: float, *, k: float = 100.0) -> None:
        require("InverseSigmoidSampling", "half", half, half > 0, "positive")
        require("InverseSigmoidSampling", "k", k, k > 1, "above 1")
        self.half, self.k = half, k

    def config(self) -> dict[str, float]:
        """Give the constructor's arguments."""
        return {"half": self.half, "k": self.k}

    def rate(self, epoch: float) -> float:
        """Give ``1 - 1 / (1 + k ** (epoch / half - 1))``."""
        return float(1.0 / (1.0 + self.k ** (1.0 - epoch / self.half)))
