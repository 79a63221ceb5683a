"""Early stopping: keep the best weights and stop after epochs without improvement."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn.training.protocol import Arrays


class EarlyStopping:
    """Stop after `patience` epochs in a row without a new best (lowest) value.

    With a patience of None it never stops, but keeps the best weights.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = None if patience is None else check.size("Trainer", "patience", patience)
        self.best = math.inf
        self.bad_epochs = 0
        self.weights: dict[str, NDArray[Any]] = {}

    @property
    def exhausted(self) -> bool:
        """Whether training should stop."""
        return self.patience is not None and self.bad_epochs >= self.patience

    def observe(self, value: float, params: Arrays) -> None:
        """Record the value of an epoch; copy the parameters if it is the best."""
        if value < self.best:
            self.best, self.bad_epochs = value, 0
            self.weights = {key: param.copy() for key, param in params.items()}
        else:
            self.bad_epochs += 1

    def restore(self, params: Arrays) -> None:
        """Restore the best weights, if there are any."""
        for key, weights in self.weights.items():
            params[key][...] = weights

    def state(self) -> dict[str, float]:
        """Return the state for a checkpoint, without the weights."""
        return {"best": self.best, "bad_epochs": self.bad_epochs}

    def load_state(self, state: dict[str, Any], weights: Arrays) -> None:
        """Restore a state returned by `state`, and the best weights."""
        self.best, self.bad_epochs = state["best"], state["bad_epochs"]
        self.weights = dict(weights)
