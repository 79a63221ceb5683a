"""Metrics of a model, for `validate` functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn.training.protocol import BatchSource, Model


def mean_loss(model: Model, batches: BatchSource) -> float:
    """Return the mean loss of the batches of epoch 0; leave the model reset and in eval mode.

    All batches have equal weight, also a shorter last one.
    """
    check.batches("mean_loss", batches)
    model.eval()
    model.reset()
    losses = [model.loss(*batch) for batch in batches.epoch(0)]
    model.reset()
    if not losses:
        raise ValueError("mean_loss: no batches")
    return math.fsum(losses) / len(losses)


def perplexity(model: Model, batches: BatchSource) -> float:
    """Return ``exp(mean_loss(model, batches))``; inf if it overflows."""
    with np.errstate(over="ignore"):
        return float(np.exp(mean_loss(model, batches)))


def exact_match(predicted: NDArray[Any], target: NDArray[Any], *, eos: int = 2) -> float:
    """Return the fraction of rows that agree up to and including the first eos.

    Parameters
    ----------
    predicted : integer array (N, L)
    target : integer array (N, T)
        Ids after an eos are ignored; a row without eos is compared whole, except for padding.
    eos : int
        Id that ends a row; the default is that of `fastrnn.data`.
    """
    if predicted.ndim != 2 or target.ndim != 2 or len(predicted) != len(target) or not len(target):
        raise ValueError(
            "exact_match: predicted must be (N, L) and target (N, T), N >= 1, "
            f"got {predicted.shape} and {target.shape}"
        )
    width = max(predicted.shape[1], target.shape[1])
    agree = _up_to_eos(predicted, eos, width) == _up_to_eos(target, eos, width)
    return float(agree.all(axis=1).mean())


def _up_to_eos(ids: NDArray[Any], eos: int, width: int) -> NDArray[Any]:
    """Set the ids after the first eos to zero and pad to `width`."""
    is_eos = ids == eos
    after = np.cumsum(is_eos, axis=1) - is_eos > 0
    return np.pad(np.where(after, 0, ids), ((0, 0), (0, width - ids.shape[1])))
