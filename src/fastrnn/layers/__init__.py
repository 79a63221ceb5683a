"""The layers: thin classes that hold parameters, gradients and state, and call `fastrnn.ops`."""

from __future__ import annotations

from typing import Any

from fastrnn._cells import CELLS
from fastrnn.layers import library
from fastrnn.layers.any_cell import Recurrent
from fastrnn.layers.attention import Attention
from fastrnn.layers.base import Layer
from fastrnn.layers.dropout import Dropout
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.gru import GRU
from fastrnn.layers.library import *  # noqa: F403
from fastrnn.layers.linear import Linear
from fastrnn.layers.lstm import LSTM
from fastrnn.layers.lstmp import LSTMP
from fastrnn.layers.rnn import RNN
from fastrnn.layers.softmax_cross_entropy import SoftmaxCrossEntropy
from fastrnn.layers.tanh import Tanh
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
