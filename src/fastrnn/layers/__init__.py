"""The layers: thin classes that hold parameters, gradients and state, and call `fastrnn.ops`."""

from __future__ import annotations

from fastrnn.layers.attention import Attention
from fastrnn.layers.base import Layer
from fastrnn.layers.dropout import Dropout
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.gru import GRU
from fastrnn.layers.linear import Linear
from fastrnn.layers.lstm import LSTM
from fastrnn.layers.rnn import RNN
from fastrnn.layers.softmax_cross_entropy import SoftmaxCrossEntropy
from fastrnn.layers.tanh import Tanh

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Dropout",
    "Embedding",
    "Layer",
    "Linear",
    "SoftmaxCrossEntropy",
    "Tanh",
]
