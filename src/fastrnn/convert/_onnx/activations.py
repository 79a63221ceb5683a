"""The activation functions of ONNX's recurrent operators, to and from the language of cells.

Their definitions are in the text of the operators (RNN, section "Activation functions"); their
defaults are those of the operators of the same names ("Default values are the same as of
corresponding ONNX operators").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from fastrnn import cell
from fastrnn.convert.variants import Activation, Function

# Functions of v and of the parameters with these defaults. Affine and ScaledTanh have none (None):
# ONNX has removed the operators of these names, and ONNX Runtime takes zeros.
DEFINITIONS: dict[str, tuple[Function, dict[str, float | None]]] = {
    "Relu": (cell.relu, {}),
    "Tanh": (cell.tanh, {}),
    "Sigmoid": (cell.sigmoid, {}),
    "Affine": (lambda v, alpha, beta: alpha * v + beta, {"alpha": None, "beta": None}),
    "LeakyRelu": (cell.leaky_relu, {"alpha": 0.01}),
    "ThresholdedRelu": (lambda v, alpha: cell.where(v < alpha, 0.0, v), {"alpha": 1.0}),
    "ScaledTanh": (
        lambda v, alpha, beta: alpha * cell.tanh(beta * v),
        {"alpha": None, "beta": None},
    ),
    "HardSigmoid": (cell.hard_sigmoid, {"alpha": 0.2, "beta": 0.5}),
    "Elu": (cell.elu, {"alpha": 1.0}),
    "Softsign": (cell.softsign, {}),
    "Softplus": (cell.softplus, {}),
}


LARGEST = float(np.finfo(np.float32).max)


def functions(
    owner: str, names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[Activation]:
    """Return the functions of these names; they take the parameters in order."""
    for parameter, given in (("alpha", alphas), ("beta", betas)):
        if infinite := [value for value in given if not math.isfinite(value)]:
            raise ValueError(f"{owner}: activation_{parameter} must be finite, got {infinite[0]}")
    left = {"alpha": iter(alphas), "beta": iter(betas)}
    found = [_function(owner, name, left) for name in names]
    for parameter, values in left.items():
        if (surplus := len(list(values))) > 0:
            count = f"{surplus} values more than {', '.join(names)} take"
            raise ValueError(f"{owner}: activation_{parameter} has {count}")
    return found


def _function(owner: str, name: str, left: dict[str, Iterator[float]]) -> Activation:
    """Return the function of this name with the next parameters."""
    if name not in DEFINITIONS:
        known = ", ".join(DEFINITIONS)
        raise ValueError(f"{owner}: activations must be among {known}, got {name!r}")
    function, defaults = DEFINITIONS[name]
    parameters = []
    for key, default in defaults.items():
        value = next(left[key], default)
        if value is None:
            raise ValueError(f"{owner}: {name} needs a value in activation_{key}")
        parameters.append(value)
    return Activation(function, tuple(parameters))


def fits(number: float | None) -> bool:
    """Return whether an attribute can hold a number, rounded to float32."""
    return number is None or abs(number) <= LARGEST


def candidates(numbers: Iterable[float]) -> Iterator[Activation]:
    """Yield all functions with these numbers as parameters."""
    fit = sorted(filter(fits, numbers))
    for function, defaults in DEFINITIONS.values():
        for parameters in product(fit, repeat=len(defaults)):
            yield Activation(function, parameters)


def attributes(functions: Sequence[Activation]) -> dict[str, Any]:
    """Return the attributes that name these functions and their parameters."""
    names = {function: name for name, (function, _) in DEFINITIONS.items()}
    written: dict[str, Any] = {"activations": [names[each.function] for each in functions]}
    for key in ("alpha", "beta"):
        values = []
        for each in functions:
            defaults = DEFINITIONS[names[each.function]][1]
            given = dict(zip(defaults, each.parameters, strict=True))
            values += [(given[key], defaults[key])] if key in given else []
        if rounded := [float(np.float32(value)) for value, _ in values[: _needed(values)]]:
            written[f"activation_{key}"] = rounded
    return written


def _needed(values: Sequence[tuple[float, float | None]]) -> int:
    """Return how many of these values, with their defaults, are written.

    A default that float32 does not hold, as 0.2, is left out if only defaults follow it. Others are
    not: for ThresholdedRelu ONNX Runtime has another one than ONNX.
    """
    needed = len(values)
    for position in reversed(range(len(values))):
        value, default = values[position]
        if value != default:
            break
        if float(np.float32(value)) != value:
            needed = position
    return needed
