"""The layers: thin classes that hold parameters, gradients and state, and call `fastrnn.ops`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastrnn._cells import CELLS
from fastrnn.layers import library
from fastrnn.layers.attention import Attention
from fastrnn.layers.base import Layer
from fastrnn.layers.dropout import Dropout
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.gru import GRU
from fastrnn.layers.linear import Linear
from fastrnn.layers.lstm import LSTM
from fastrnn.layers.recurrent import RecurrentLayer
from fastrnn.layers.rnn import RNN
from fastrnn.layers.softmax_cross_entropy import SoftmaxCrossEntropy
from fastrnn.layers.tanh import Tanh

if TYPE_CHECKING:
    from fastrnn.layers.any_cell import Recurrent
    from fastrnn.layers.lstmp import LSTMP
    from fastrnn.layers.zoneout_lstm import ZoneoutLSTM

RECURRENT: dict[str, type[Any]] = {cell.name: globals()[cell.title] for cell in CELLS.values()}
"""The recurrent layers by the names of their cells."""

__all__ = [
    "GRU",
    "LSTM",
    "LSTMP",
    "RECURRENT",
    "RNN",
    "Attention",
    "Dropout",
    "Embedding",
    "Layer",
    "Linear",
    "Recurrent",
    "SoftmaxCrossEntropy",
    "Tanh",
    "ZoneoutLSTM",
]
__all__ += library.__all__

# The module of each layer that needs `fastrnn.cell`, imported at its first use, to keep
# ``import fastrnn`` fast.
_LATE = {"LSTMP": "lstmp", "Recurrent": "any_cell", "ZoneoutLSTM": "zoneout_lstm"}
_LATE |= dict.fromkeys(library.__all__, "library")


def __getattr__(name: str) -> type[RecurrentLayer]:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATE[name]}")
    layer: type[RecurrentLayer] = globals().setdefault(name, getattr(module, name))
    return layer


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
