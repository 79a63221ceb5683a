"""Weights and models to and from other libraries, none of which is imported before it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.convert import onnx_backend
    from fastrnn.convert._onnx.export import to_onnx
    from fastrnn.convert._onnx.model import OnnxModel, from_onnx

__all__ = ["OnnxModel", "from_onnx", "onnx_backend", "to_onnx"]

# Imported at their first use: the module of each name.
_LATE = {
    "OnnxModel": "fastrnn.convert._onnx.model",
    "from_onnx": "fastrnn.convert._onnx.model",
    "onnx_backend": "fastrnn.convert.onnx_backend",
    "to_onnx": "fastrnn.convert._onnx.export",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'fastrnn.convert' has no attribute {name!r}")
    module = import_module(_LATE[name])
    return globals().setdefault(name, getattr(module, name, module))


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
