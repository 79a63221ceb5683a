"""Parameter updates, in place, and what gradient clipping needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend


def sgd_update(param: Array, grad: Any, *, lr: float, backend: str | None = None) -> None:
    """Stochastic gradient descent: ``p -= lr*g``.

    Parameters
    ----------
    param : array (...)
        The parameter, updated in place; C-contiguous, float32 or float64.
    grad : array (...)
        Gradient of the parameter, of its shape and dtype.
    lr : float
        As for `fastrnn.training.SGD`.
    backend : {"compiled", "reference"}, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong or an array cannot be updated in place; TypeError if a
        dtype is wrong.
    """
    _update("SGD", backend, grad, {"param": param}, lr=lr)


def momentum_update(
    param: Array,
    grad: Any,
    velocity: Array,
    *,
    lr: float,
    momentum: float,
    backend: str | None = None,
) -> None:
    """Gradient descent with momentum (Polyak 1964): ``v = momentum*v - lr*g; p += v``.

    Parameters
    ----------
    param, velocity : array (...)
        The parameter and its moments, zeros at first, updated in place; C-contiguous, all
        float32 or all float64.
    grad : array (...)
        Gradient of the parameter, of its shape and dtype.
    lr, momentum : float
        As for `fastrnn.training.Momentum`.
    backend : {"compiled", "reference"}, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        As `sgd_update`.
    """
    arrays = {"param": param, "velocity": velocity}
    _update("Momentum", backend, grad, arrays, lr=lr, momentum=momentum)


def adagrad_update(
    param: Array, grad: Any, square: Array, *, lr: float, eps: float, backend: str | None = None
) -> None:
    """AdaGrad (Duchi et al. 2011): ``s += g*g; p -= lr*g/(sqrt(s)+eps)``.

    Parameters
    ----------
    param, square : array (...)
        The parameter and its moments, zeros at first, updated in place; C-contiguous, all
        float32 or all float64.
    grad : array (...)
        Gradient of the parameter, of its shape and dtype.
    lr, eps : float
        As for `fastrnn.training.AdaGrad`.
    backend : {"compiled", "reference"}, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        As `sgd_update`.
    """
    arrays = {"param": param, "square": square}
    _update("AdaGrad", backend, grad, arrays, lr=lr, eps=eps)


def rmsprop_update(
    param: Array,
    grad: Any,
    square: Array,
    *,
    lr: float,
    rho: float,
    eps: float,
    backend: str | None = None,
) -> None:
    """RMSprop (Tieleman and Hinton 2012): ``s = rho*s+(1-rho)*g*g; p -= lr*g/(sqrt(s)+eps)``.

    Parameters
    ----------
    param, square : array (...)
        The parameter and its moments, zeros at first, updated in place; C-contiguous, all
        float32 or all float64.
    grad : array (...)
        Gradient of the parameter, of its shape and dtype.
    lr, rho, eps : float
        As for `fastrnn.training.RMSprop`.
    backend : {"compiled", "reference"}, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        As `sgd_update`.
    """
    arrays = {"param": param, "square": square}
    _update("RMSprop", backend, grad, arrays, lr=lr, rho=rho, eps=eps)


def adam_update(
    param: Array,
    grad: Any,
    mean: Array,
    square: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    weight_decay: float = 0.0,
    backend: str | None = None,
) -> None:
    """Adam (Kingma and Ba 2015, algorithm 1), with the decoupled decay of AdamW.

    A `weight_decay` of 0 is Adam itself, another is that of AdamW (Loshchilov and Hutter 2019,
    algorithm 2).

    Parameters
    ----------
    param, mean, square : array (...)
        The parameter and its moments, zeros at first, updated in place; C-contiguous, all
        float32 or all float64.
    grad : array (...)
        Gradient of the parameter, of its shape and dtype.
    lr, beta1, beta2, eps, weight_decay : float
        As for `fastrnn.training.AdamW`.
    step : int
        The number of this update, from 1.
    backend : {"compiled", "reference"}, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        As `sgd_update`.
    """
    step = check.size("Adam", "step", step)
    arrays = {"param": param, "mean": mean, "square": square}
    options = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    _update("Adam", backend, grad, arrays, lr=lr, step=step, **options)


def squared_norm(array: Any, *, backend: str | None = None) -> float:
    """Return the sum of the squares of all entries, accumulated in float64.

    Raises
    ------
    ValueError, TypeError
        ValueError if an option is wrong; TypeError if the dtype is not float32 or float64.
    """
    dtype = check.float_dtype("squared_norm", "array", array)
    array = check.array("squared_norm", "array", array, (...,), dtype, contiguous=True)
    return float(_backend.get(backend).squared_norm(array))


def scale_in_place(array: Array, factor: float, *, backend: str | None = None) -> None:
    """Multiply all entries by `factor`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_update`; TypeError also if `factor` is no number.
    """
    dtype = check.float_dtype("scale_in_place", "array", array)
    array = check.in_place("scale_in_place", "array", array, np.shape(array), dtype)
    _backend.get(backend).scale_in_place(array, check.number("scale_in_place", "factor", factor))


def _update(
    layer: str, backend: str | None, grad: Any, written: dict[str, Array], **options: float
) -> None:
    """Call a backend's update on the arrays that it writes, the parameter first."""
    dtype = check.float_dtype(layer, "param", written["param"])
    shape = np.shape(written["param"])
    ready = [check.in_place(layer, name, value, shape, dtype) for name, value in written.items()]
    grad = check.array(layer, "grad", grad, shape, dtype, contiguous=True)
    update = getattr(_backend.get(backend), f"{layer.lower()}_update")
    update(ready[0], grad, *ready[1:], **options)
