"""Recurrent networks on a CPU: RNN, LSTM, GRU, seq2seq and attention, compiled."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastrnn import ops
from fastrnn.layers import (
    GRU,
    LSTM,
    RNN,
    Attention,
    Dropout,
    Embedding,
    Linear,
    SoftmaxCrossEntropy,
    Tanh,
    library,
)
from fastrnn.ops._backend import backend

if TYPE_CHECKING:
    from fastrnn import cell, convert, data, models, training
    from fastrnn.layers import LSTMP, Recurrent, ZoneoutLSTM
    from fastrnn.layers.quantization import quantization_error
    from fastrnn.models.serialization import load, save
    from fastrnn.ops._system import cpu_info, get_num_threads, set_num_threads

__all__ = [
    "GRU",
    "LSTM",
    "LSTMP",
    "RNN",
    "Attention",
    "Dropout",
    "Embedding",
    "Linear",
    "Recurrent",
    "SoftmaxCrossEntropy",
    "Tanh",
    "ZoneoutLSTM",
    "__version__",
    "backend",
    "cell",
    "convert",
    "cpu_info",
    "data",
    "get_num_threads",
    "load",
    "models",
    "ops",
    "quantization_error",
    "save",
    "set_num_threads",
    "training",
]
__all__ += library.__all__

__version__ = "0.1.0"

# The module of each name, imported at its first use, to keep ``import fastrnn`` fast. `plot` is not
# in __all__, as it needs matplotlib.
_LATE = {
    name: f"fastrnn.{name}" for name in ("cell", "convert", "data", "models", "plot", "training")
}
_LATE |= dict.fromkeys(("LSTMP", "Recurrent", "ZoneoutLSTM", *library.__all__), "fastrnn.layers")
_LATE["quantization_error"] = "fastrnn.layers.quantization"
_LATE |= dict.fromkeys(("load", "save"), "fastrnn.models.serialization")
_LATE |= dict.fromkeys(("cpu_info", "get_num_threads", "set_num_threads"), "fastrnn.ops._system")


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'fastrnn' has no attribute {name!r}")
    module = import_module(_LATE[name])
    return globals().setdefault(name, getattr(module, name, module))


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
