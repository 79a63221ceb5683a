"""Learning-rate schedules: a factor of the optimizer's rate at a position in the run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod


class Schedule(ABC):
    """The base class of schedules.

    Epochs are counted from 0, with fractions: 2.25 is after a quarter of the third epoch.
    """

    @abstractmethod
    def factor(self, epoch: float) -> float:
        """Return the factor of the initial learning rate at this point of the run."""

    def observe(self, value: float) -> None:  # noqa: B027 - most schedules need no value
        """Record the monitored value of an epoch; less is better."""

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments, which must be the same on a resume."""
        return {}

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:  # noqa: B027
        """Restore a state returned by `state`."""


class ConstantLR(Schedule):
    """A constant learning rate."""

    def factor(self, epoch: float) -> float:
        """Return 1."""
        return 1.0


class StepLR(Schedule):
    """Multiply the rate by `gamma` after every `step_size` epochs."""

    def __init__(self, step_size: int, gamma: float = 0.1) -> None:
        require("StepLR", "step_size", step_size, step_size >= 1, "at least 1")
        require("StepLR", "gamma", gamma, gamma > 0, "positive")
        self.step_size, self.gamma = step_size, gamma

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"step_size": self.step_size, "gamma": self.gamma}

    def factor(self, epoch: float) -> float:
        """Return ``gamma ** floor(epoch / step_size)``."""
        return float(self.gamma ** (math.floor(epoch) // self.step_size))


class ExponentialLR(Schedule):
    """Multiply the rate by `gamma` after every epoch."""

    def __init__(self, gamma: float) -> None:
        require("ExponentialLR", "gamma", gamma, gamma > 0, "positive")
        self.gamma = gamma

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"gamma": self.gamma}

    def factor(self, epoch: float) -> float:
        """Return ``gamma ** floor(epoch)``."""
        return float(self.gamma ** math.floor(epoch))


class CosineLR(Schedule):
    """Decrease the factor from 1 to `min_factor` along half a cosine over `epochs`.

    This is equation 5 of Loshchilov and Hutter 2017, without restarts. Then the factor is constant.
    """

    def __init__(self, epochs: int, *, min_factor: float = 0.0) -> None:
        require("CosineLR", "epochs", epochs, epochs >= 1, "at least 1")
        require("CosineLR", "min_factor", min_factor, 0 <= min_factor <= 1, "in [0, 1]")
        self.epochs, self.min_factor = epochs, min_factor

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {"epochs": self.epochs, "min_factor": self.min_factor}

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

    def __init__(self, factor: float = 0.5, patience: int = 2, *, min_factor: float = 0.0) -> None:
        require("ReduceLROnPlateau", "factor", factor, 0 < factor < 1, "in (0, 1)")
        require("ReduceLROnPlateau", "patience", patience, patience >= 0, "at least 0")
        require("ReduceLROnPlateau", "min_factor", min_factor, 0 <= min_factor <= 1, "in [0, 1]")
        self._reduction, self.patience, self.min_factor = factor, patience, min_factor
        self._factor = 1.0
        self._best = math.inf
        self._bad_epochs = 0

    def config(self) -> dict[str, float]:
        """Return the constructor's arguments."""
        return {
            "factor": self._reduction,
            "patience": self.patience,
            "min_factor": self.min_factor,
        }

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
        self._factor, self._best = state["factor"], state["best"]
        self._bad_epochs = int(state["bad_epochs"])


def require(owner: str, name: str, value: float, holds: bool, wanted: str) -> None:
    """Raise ValueError unless `holds`."""
    if not holds:
        raise ValueError(f"{owner}: {name} must be {wanted}, got {value}")
