"""Common parts of all loads: check all arrays, then write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.layers import RECURRENT, Embedding, Layer, Linear
from fastrnn.layers.plain import require_plain
from fastrnn.layers.recurrent import RecurrentLayer

Convertible: TypeAlias = RecurrentLayer | Embedding | Linear

CONVERTIBLE: tuple[type[Layer], ...] = (*RECURRENT.values(), Embedding, Linear)


def check_layer(function: str, layer: Any, known: Sequence[type[Layer]] = CONVERTIBLE) -> None:
    """Raise unless other libraries have such a layer, too."""
    if not isinstance(layer, tuple(known)):
        names = ", ".join(cls.__name__ for cls in known)
        raise TypeError(f"{function}: layer must be one of {names}, got {type(layer).__name__}")


def check_own(function: str, layer: Any, known: Sequence[type[Layer]] = CONVERTIBLE) -> None:
    """Raise if a layer may compute something else than the one whose counterpart is wanted."""
    base = next(base for base in type(layer).__mro__ if base in known)
    require_plain(function, "layer", layer, base)


def matching(layer: Layer, wanted: Mapping[str, Array], came: Mapping[str, Any]) -> list[Array]:
    """Return the values as arrays, in the order and with the shapes and dtypes of `wanted`."""
    name = type(layer).__name__
    wrong = {
        "missing": [repr(key) for key in wanted if key not in came],
        "surplus": [repr(key) for key in came if key not in wanted],
    }
    if any(wrong.values()):
        problems = [f"{kind} keys {', '.join(keys)}" for kind, keys in wrong.items() if keys]
        raise ValueError(f"{name}: {', '.join(problems)}")
    return [
        check.array(name, key, as_array(name, key, came[key]), like.shape, like.dtype)
        for key, like in wanted.items()
    ]


def as_array(name: str, key: str, value: Any) -> Array:
    """Convert as NumPy does, with an error that names the array."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # tensors that NumPy cannot represent
        reason = " ".join(str(error).split())
        raise TypeError(f"{name}: {key} must be a NumPy array: {reason}") from None


def assign(layer: Layer, params: Mapping[str, Array]) -> None:
    """Overwrite all parameters in place; `params` are copies of the right shapes and dtype."""
    name = type(layer).__name__
    if layer.frozen:
        raise ValueError(f"{name}: loading needs unfreeze() first, the layer is frozen")
    for key, new in params.items():
        param = layer.params[key]
        if (param.shape, param.dtype) != (new.shape, new.dtype) or not param.flags.writeable:
            wanted = f"writeable, {new.dtype} and of shape {new.shape}"
            raise ValueError(f"{name}: the parameter {key} must be {wanted} to be loaded")
    for key, new in params.items():
        layer.params[key][...] = new
