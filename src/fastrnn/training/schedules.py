"""Learning-rate schedules: a factor of the optimizer's rate at a position in the run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from fastrnn import _check as check
from fastrnn.training.protocol import Described


class Schedule(Described, ABC):
    """The base class of schedules.

    Epochs are counted from 0, with fractions: 2.25 is after a quarter of the third epoch.
    """

    @abstractmethod
    def factor(self, epoch: float) -> float:
        """Return the factor of the initial learning rate at this point of the run."""

    def observe(self, value: float) -> None:
        """Record the monitored value of an epoch; less is better."""

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore a state returned by `state`."""


class ConstantLR(Schedule):
    """A constant learning rate."""

    def factor(self, epoch: float) -> float:
        """Return 1."""
        return 1.0


class StepLR(Schedule):
    """Multiply the rate by `gamma` after every `step_size` epochs."""

    _options = ("step_size", "gamma")

    def __init__(self, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = check.size("StepLR", "step_size", step_size)
        self.gamma = check.number("StepLR", "gamma", gamma, "positive")

    def factor(self, epoch: float) -> float:
        """Return ``gamma ** floor(epoch / step_size)``."""
        return float(self.gamma ** (math.floor(epoch) // self.step_size))


class ExponentialLR(Schedule):
    """Multiply the rate by `gamma` after every epoch."""

    _options = ("gamma",)

    def __init__(self, gamma: float) -> None:
        self.gamma = check.number("ExponentialLR", "gamma", gamma, "positive")

    def factor(self, epoch: float) -> float:
        """Return ``gamma ** floor(epoch)``."""
        return float(self.gamma ** math.floor(epoch))


class CosineLR(Schedule):
    """Decrease the factor from 1 to `min_factor` along half a cosine over `epochs`.

    This is equation 5 of Loshchilov and Hutter 2017, without restarts. Then the factor is constant.
    """

    _options = ("epochs", "min_factor")

    def __init__(self, epochs: int, *, min_factor: float = 0.0) -> None:
        self.epochs = check.size("CosineLR", "epochs", epochs)
        self.min_factor = check.rate("CosineLR", "min_factor", min_factor)

    def factor(self, epoch: float) -> float:
        """Return ``min_factor + (1 - min_factor) * (1 + cos(pi * epoch / epochs)) / 2``."""
        turn = math.pi * min(epoch / self.epochs, 1.0)
        return self.min_factor + (1 - self.min_factor) * (1 + math.cos(turn)) / 2


class ReduceLROnPlateau(Schedule):
    """Multiply the rate by `factor` after epochs without improvement of the monitored value.

    Parameters
    ----------
    factor : float
        Factor of one reduction, in (0, 1).
    patience : int
        Number of epochs without a new best value before the one that reduces.
    min_factor : float
        Lower bound of the product of all reductions.
    """

    _options = ("patience", "min_factor")

    def __init__(self, factor: float = 0.5, patience: int = 2, *, min_factor: float = 0.0) -> None:
        owner = "ReduceLROnPlateau"
        self._reduction = check.number(owner, "factor", factor, "in (0, 1)")
        self.patience = check.size(owner, "patience", patience, least=0)
        self.min_factor = check.rate(owner, "min_factor", min_factor)
        self._factor, self._best, self._bad_epochs = 1.0, math.inf, 0

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"factor": self._reduction, **super().config()}

    def factor(self, epoch: float) -> float:
        """Return the product of the reductions so far."""
        return self._factor

    def observe(self, value: float) -> None:
        """Count the epochs without improvement and reduce if there are too many."""
        if value < self._best:
            self._best, self._bad_epochs = value, 0
            return
        self._bad_epochs += 1
        if self._bad_epochs > self.patience:
            self._factor = max(self._factor * self._reduction, self.min_factor)
            self._bad_epochs = 0

    def state(self) -> dict[str, float]:
        """Return the product of the reductions, the best value and the epochs since."""
        return {"factor": self._factor, "best": self._best, "bad_epochs": self._bad_epochs}

    def load_state(self, state: dict[str, float]) -> None:
        """Restore a state returned by `state`."""
        owner = "ReduceLROnPlateau"
        self._factor = check.rate(owner, "factor", state["factor"])
        self._best = check.number(owner, "best", state["best"])
        self._bad_epochs = check.size(owner, "bad_epochs", state["bad_epochs"], least=0)
