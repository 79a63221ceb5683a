"""The record of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """The record of a training run, one entry per epoch.

    Attributes
    ----------
    losses : list of float
        Mean loss of the epoch's batches.
    metrics : list of dict
        Results of `validate`; empty without it.
    learning_rates : list of float
        Learning rate of the epoch's last batch.
    seconds : list of float
        Wall time, validation included.
    """

    losses: list[float] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.losses)

    def metric(self, name: str) -> list[float]:
        """Return one validation metric for all epochs.

        Raises
        ------
        ValueError
            If an epoch does not have it.
        """
        return [select_metric(metrics, name) for metrics in self.metrics]


def select_metric(metrics: dict[str, float], name: str) -> float:
    """Return a metric by name; raise with the known names if there is none."""
    if name not in metrics:
        known = ", ".join(metrics) or "none (is there a validate function?)"
        raise ValueError(f"unknown metric {name!r}, known: {known}")
    return metrics[name]
