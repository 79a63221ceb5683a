"""The activation functions of ONNX's recurrent operators.

Their definitions are in the text of the operators (RNN, section "Activation functions"); their
defaults are those of the operators of the same names ("Default values are the same as of
corresponding ONNX operators").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np

from fastrnn._check import Array
from fastrnn._reference.activations import sigmoid

Function: TypeAlias = Callable[[Array], Array]

# Functions of x and of the parameters with these defaults. Affine and ScaledTanh have none (None):
# ONNX has removed the operators of these names, and ONNX Runtime takes zeros.
DEFINITIONS: dict[str, tuple[Callable[..., Array], dict[str, float | None]]] = {
    "Relu": (lambda x: np.maximum(x, 0), {}),
    "Tanh": (np.tanh, {}),
    "Sigmoid": (sigmoid, {}),
    "Affine": (lambda x, alpha, beta: alpha * x + beta, {"alpha": None, "beta": None}),
    "LeakyRelu": (lambda x, alpha: np.where(x < 0, alpha * x, x), {"alpha": 0.01}),
    "ThresholdedRelu": (lambda x, alpha: np.where(x < alpha, 0, x), {"alpha": 1.0}),
    "ScaledTanh": (
        lambda x, alpha, beta: alpha * np.tanh(beta * x),
        {"alpha": None, "beta": None},
    ),
    "HardSigmoid": (
        lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
        {"alpha": 0.2, "beta": 0.5},
    ),
    "Elu": (
        lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
        {"alpha": 1.0},
    ),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}),
    "Softplus": (lambda x: np.logaddexp(x, 0), {}),
}


def functions(
    owner: str, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Function]:
    """Return the functions of these names; they take the parameters in order."""
    left = {"alpha": iter(alphas), "beta": iter(betas)}
    found = [_function(owner, name, left) for name in names]
    for parameter, values in left.items():
        if (surplus := len(list(values))) > 0:
            count = f"{surplus} values more than {', '.join(names)} take"
            raise ValueError(f"{owner}: activation_{parameter} has {count}")
    return found


def _function(owner: str, name: str, left: dict[str, Iterator[float]]) -> Function:
    """Return the function of this name with the next parameters."""
    if name not in DEFINITIONS:
        known = ", ".join(DEFINITIONS)
        raise ValueError(f"{owner}: activations must be among {known}, got {name!r}")
    function, defaults = DEFINITIONS[name]
    parameters = {key: next(left[key], default) for key, default in defaults.items()}
    for key, value in parameters.items():
        if value is None:
            raise ValueError(f"{owner}: {name} needs a value in activation_{key}")
    return partial(function, **parameters)
