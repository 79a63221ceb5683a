"""The activation functions of ONNX's recurrent operators.

Their definitions are in the text of the operators (RNN, section "Activation functions"); their
defaults are those of the operators of the same names ("Default values are the same as of
corresponding ONNX operators").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from fastrnn._check import Array
from fastrnn._reference.maps import sigmoid

Function: TypeAlias = Callable[[Array], Array]

NO_DEFAULT = float("nan")


@dataclass(frozen=True)
class Definition:
    """A function of x and of the parameters that are not None, with default values."""

    function: Callable[..., Array]
    alpha: float | None = None
    beta: float | None = None


DEFINITIONS = {
    "Relu": Definition(lambda x: np.maximum(x, 0)),
    "Tanh": Definition(np.tanh),
    "Sigmoid": Definition(sigmoid),
    "Affine": Definition(lambda x, alpha, beta: alpha * x + beta, NO_DEFAULT, NO_DEFAULT),
    "LeakyRelu": Definition(lambda x, alpha: np.where(x < 0, alpha * x, x), 0.01),
    "ThresholdedRelu": Definition(lambda x, alpha: np.where(x < alpha, 0, x), 1.0),
    "ScaledTanh": Definition(
        lambda x, alpha, beta: alpha * np.tanh(beta * x), NO_DEFAULT, NO_DEFAULT
    ),
    "HardSigmoid": Definition(lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), 0.2, 0.5),
    "Elu": Definition(lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x), 1.0),
    "Softsign": Definition(lambda x: x / (1 + np.abs(x))),
    "Softplus": Definition(lambda x: np.logaddexp(x, 0)),
}


def functions(
    owner: str, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Function]:
    """Return the functions of these names; they take the parameters in order.

    Affine and ScaledTanh have no defaults: ONNX has removed the operators of these names, and ONNX
    Runtime takes zeros.

    Raises
    ------
    ValueError
        If a name is unknown, a parameter is missing, or one is left over.
    """
    left = {"activation_alpha": iter(alphas), "activation_beta": iter(betas)}
    found = [_function(owner, name, left) for name in names]
    for attribute, values in left.items():
        if (surplus := len(list(values))) > 0:
            count = f"{surplus} values more than {', '.join(names)} take"
            raise ValueError(f"{owner}: {attribute} has {count}")
    return found


def _function(owner: str, name: str, left: dict[str, Iterator[float]]) -> Function:
    """Return the function of this name with the next parameters."""
    if name not in DEFINITIONS:
        known = ", ".join(DEFINITIONS)
        raise ValueError(f"{owner}: activations must be among {known}, got {name!r}")
    definition = DEFINITIONS[name]
    defaults = (definition.alpha, definition.beta)
    parameters = {
        attribute.removeprefix("activation_"): next(values, default)
        for (attribute, values), default in zip(left.items(), defaults, strict=True)
        if default is not None
    }
    for parameter, value in parameters.items():
        if np.isnan(value):
            raise ValueError(f"{owner}: {name} needs a value in activation_{parameter}")
    return partial(definition.function, **parameters)
