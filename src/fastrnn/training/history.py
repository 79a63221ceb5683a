"""What a training run leaves to look at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """One entry for each finished epoch.

    Attributes
    ----------
    losses : list of float
        Mean loss of the epoch's batches.
    metrics : list of dict
        What `validate` returned; empty without.
    learning_rates : list of float
        The rate of the epoch's last batch.
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
        """Give one validation metric of all epochs.

        Raises
        ------
        ValueError
            An epoch does not have it.
        """
        return [select_metric(metrics, name) for metrics in self.metrics]


def select_metric(metrics: dict[str, float], name: str) -> float:
    """Give a metric by name, or say which there are."""
    if name not in metrics:
        known = ", ".join(metrics) or "none (is there a validate function?)"
        raise ValueError(f"unknown metric {name!r}, known: {known}")
    return metrics[name]
