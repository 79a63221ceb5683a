"""Finite differences through the loss of a whole model."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.models.base import Model

STEP = 1e-5


def assert_gradients(model: Model, batch: tuple[Any, ...], rng: np.random.Generator) -> None:
    """Compare a few random entries of each gradient with central differences in float64."""
    model.reset()
    model.loss(*batch)
    model.backward()
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    assert grads.keys() == model.params.keys()
    for key, param in model.params.items():
        assert np.abs(grads[key]).max() > 0, f"{key}: no gradient at all"
        for index in entries(grads[key], rng):
            numeric = central_difference(model, batch, param, index)
            assert abs(grads[key][index] - numeric) <= 1e-8 + 1e-6 * abs(numeric), (key, index)


def entries(grad: np.ndarray[Any, Any], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The largest gradient and a random one."""
    flat = [int(np.abs(grad).argmax()), int(rng.integers(grad.size))]
    return [tuple(int(i) for i in np.unravel_index(position, grad.shape)) for position in flat]


def central_difference(
    model: Model, batch: tuple[Any, ...], param: np.ndarray[Any, Any], index: tuple[int, ...]
) -> float:
    kept = param[index]
    losses = []
    for moved in (kept + STEP, kept - STEP):
        param[index] = moved
        model.reset()
        losses.append(model.loss(*batch))
    param[index] = kept
    return (losses[0] - losses[1]) / (2 * STEP)
