"""Keras's activations in words of the language of cells."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fastrnn import _check as check
from fastrnn import cell
from fastrnn.convert.variants import Activation, Function

# Of Klambauer et al., "Self-normalizing neural networks", 2017.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
LEAKY_SLOPE = 0.2
SHRUNK = 0.5
HARD_SLOPE = {"2": 0.2}  # by the version of Keras; else 1/6


def _soft_shrink(v: Any) -> Any:
    return v - cell.clip(v, -SHRUNK, SHRUNK)


def _hard_silu(v: Any) -> Any:
    return v * cell.hard_sigmoid(v, 1 / 6)


# Those of one unit alone, with Keras's defaults of their parameters.
FUNCTIONS: dict[str, Function] = {
    "celu": cell.elu,
    "elu": cell.elu,
    "exponential": cell.exp,
    "hard_shrink": lambda v: cell.where(cell.abs(v) > SHRUNK, v, 0.0),
    "hard_sigmoid": cell.hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": lambda v: cell.clip(v, -1.0, 1.0),
    "leaky_relu": lambda v: cell.leaky_relu(v, LEAKY_SLOPE),
    "linear": lambda v: v,
    "log_sigmoid": lambda v: -cell.softplus(-v),
    "mish": lambda v: v * cell.tanh(cell.softplus(v)),
    "relu": cell.relu,
    "relu6": lambda v: cell.minimum(cell.relu(v), 6.0),
    "selu": lambda v: SELU_SCALE * cell.elu(v, SELU_ALPHA),
    "sigmoid": cell.sigmoid,
    "silu": lambda v: v * cell.sigmoid(v),
    "soft_shrink": _soft_shrink,
    "softplus": cell.softplus,
    "softsign": cell.softsign,
    "sparse_sigmoid": lambda v: cell.hard_sigmoid(v, 0.5),
    "squareplus": lambda v: 0.5 * (v + cell.sqrt(v * v + 4.0)),
    "swish": lambda v: v * cell.sigmoid(v),
    "tanh": cell.tanh,
    "tanh_shrink": lambda v: v - cell.tanh(v),
}


def of_layer(
    theirs: Any, config: Mapping[str, Any], options: Sequence[str]
) -> tuple[tuple[str, ...], tuple[Activation, ...]]:
    """Return the names and the functions of a layer's activations under these options."""
    names = tuple(_name(theirs, option, config[option]) for option in options)
    return names, tuple(Activation(FUNCTIONS[name], _parameters(name)) for name in names)


def _name(theirs: Any, option: str, came: Any) -> str:
    """Return the name of an activation that is one of `FUNCTIONS`."""
    name = check.option("from_keras", option, came, FUNCTIONS)
    module = getattr(getattr(theirs, option), "__module__", "")
    if module.partition(".")[0] != "keras":  # a user's may have any name
        raise ValueError(f"from_keras: {option} must be Keras's own, got a {name} of {module}")
    return name


def _parameters(name: str) -> tuple[float, ...]:
    """Return the parameters of an activation that depend on the version of Keras."""
    if name != "hard_sigmoid":
        return ()
    version = getattr(sys.modules.get("keras"), "__version__", "")
    return (HARD_SLOPE.get(version.partition(".")[0], 1 / 6),)
