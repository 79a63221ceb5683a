"""The activation functions of ONNX's recurrent operators, in words of the language of cells.

Their definitions are in the text of the operators (RNN, section "Activation functions"); their
defaults are those of the operators of the same names ("Default values are the same as of
corresponding ONNX operators").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

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
