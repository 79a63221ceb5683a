"""Weights and models to and from other libraries, which are imported on first use.

A conversion checks everything before it writes anything: after an error the layer is unchanged.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.convert._onnx.export import to_onnx
    from fastrnn.convert._onnx.model import OnnxModel, from_onnx
    from fastrnn.convert.keras import from_keras, load_keras_weights, to_keras_weights
    from fastrnn.convert.pytorch import from_torch, to_torch
    from fastrnn.convert.state_dicts import load_state_dict, state_dict

__all__ = [
    "OnnxModel",
    "from_keras",
    "from_onnx",
    "from_torch",
    "load_keras_weights",
    "load_state_dict",
    "state_dict",
    "to_keras_weights",
    "to_onnx",
    "to_torch",
]

# The module of each name, imported at its first use. A name may be that of a module; this one is
# not in __all__ because it needs the onnx package. No other module has one of these names.
_LATE = {
    "OnnxModel": "fastrnn.convert._onnx.model",
    "from_keras": "fastrnn.convert.keras",
    "from_onnx": "fastrnn.convert._onnx.model",
    "from_torch": "fastrnn.convert.pytorch",
    "load_keras_weights": "fastrnn.convert.keras",
    "load_state_dict": "fastrnn.convert.state_dicts",
    "onnx_backend": "fastrnn.convert.onnx_backend",
    "state_dict": "fastrnn.convert.state_dicts",
    "to_keras_weights": "fastrnn.convert.keras",
    "to_onnx": "fastrnn.convert._onnx.export",
    "to_torch": "fastrnn.convert.pytorch",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'fastrnn.convert' has no attribute {name!r}")
    module = import_module(_LATE[name])
    return globals().setdefault(name, getattr(module, name, module))


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
