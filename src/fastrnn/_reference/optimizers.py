"""One step of each optimizer, in place, on a parameter and what is remembered about it."""

from __future__ import annotations

import numpy as np

from .types import Array


def sgd_update(param: Array, grad: Array, *, lr: float) -> None:
    """Gradient descent (Robbins and Monro 1951)."""
    param -= lr * grad


def momentum_update(
    param: Array, grad: Array, velocity: Array, *, lr: float, momentum: float
) -> None:
    """Gradient descent with momentum (Polyak 1964; Sutskever et al. 2013, equations 1 and 2)."""
    velocity[...] = momentum * velocity - lr * grad
    param += velocity


def adagrad_update(param: Array, grad: Array, square: Array, *, lr: float, eps: float) -> None:
    """AdaGrad (Duchi et al. 2011), the diagonal form."""
    square += grad * grad
    param -= lr * grad / (np.sqrt(square) + eps)


def rmsprop_update(
    param: Array, grad: Array, square: Array, *, lr: float, rho: float, eps: float
) -> None:
    """RMSprop (Tieleman and Hinton 2012, lecture 6.5)."""
    square[...] = rho * square + (1 - rho) * grad * grad
    param -= lr * grad / (np.sqrt(square) + eps)


def adam_update(
    param: Array,
    grad: Array,
    mean: Array,
    square: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float,
) -> None:
    """Adam (Kingma and Ba 2015, algorithm 1); `step` counts from 1.

    A `weight_decay` other than 0 is decoupled from the gradient and scaled by `lr`: AdamW
    (Loshchilov and Hutter 2019, algorithm 2).
    """
    mean[...] = beta1 * mean + (1 - beta1) * grad
    square[...] = beta2 * square + (1 - beta2) * grad * grad
    mean_hat = mean / (1 - beta1**step)
    square_hat = square / (1 - beta2**step)
    param -= lr * weight_decay * param
    param -= lr * mean_hat / (np.sqrt(square_hat) + eps)


def squared_norm(array: Array) -> float:
    """Return the sum of the squares, accumulated in float64."""
    return float(np.square(array, dtype=np.float64).sum())


def scale_in_place(array: Array, factor: float) -> None:
    """Multiply `array` by `factor`."""
    array *= factor
