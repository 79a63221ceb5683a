"""The functions of `fastrnn._reference`, compiled: same names, arguments and results."""

from __future__ import annotations

from fastrnn._kernels import waiting  # noqa: F401, before anything loads OpenMP
from fastrnn._kernels.attention import attention_backward, attention_forward
from fastrnn._kernels.attention_decoder import (
    attention_decoder_backward,
    attention_decoder_forward,
)
from fastrnn._kernels.decoding import decode_beam, decode_greedy, decode_sample
from fastrnn._kernels.directions import run_directions
from fastrnn._kernels.dropout import dropout
from fastrnn._kernels.elementwise import tanh, tanh_backward
from fastrnn._kernels.embedding import embedding_backward, embedding_forward
from fastrnn._kernels.gru import gru_backward, gru_forward, gru_freeze, gru_step
from fastrnn._kernels.linear import linear_backward, linear_forward
from fastrnn._kernels.lstm import lstm_backward, lstm_forward, lstm_freeze, lstm_step
from fastrnn._kernels.memory import empty
from fastrnn._kernels.optimizers import (
    adagrad_update,
    adam_update,
    momentum_update,
    rmsprop_update,
    scale_in_place,
    sgd_update,
    squared_norm,
)
from fastrnn._kernels.rnn import rnn_backward, rnn_forward, rnn_freeze, rnn_step
from fastrnn._kernels.softmax_cross_entropy import softmax_cross_entropy
from fastrnn._kernels.system import cpu_info, get_num_threads, set_num_threads
from fastrnn._kernels.table import embeds

__all__ = [
    "adagrad_update",
    "adam_update",
    "attention_backward",
    "attention_decoder_backward",
    "attention_decoder_forward",
    "attention_forward",
    "cpu_info",
    "decode_beam",
    "decode_greedy",
    "decode_sample",
    "dropout",
    "embedding_backward",
    "embedding_forward",
    "embeds",
    "empty",
    "get_num_threads",
    "gru_backward",
    "gru_forward",
    "gru_freeze",
    "gru_step",
    "linear_backward",
    "linear_forward",
    "lstm_backward",
    "lstm_forward",
    "lstm_freeze",
    "lstm_step",
    "momentum_update",
    "rmsprop_update",
    "rnn_backward",
    "rnn_forward",
    "rnn_freeze",
    "rnn_step",
    "run_directions",
    "scale_in_place",
    "set_num_threads",
    "sgd_update",
    "softmax_cross_entropy",
    "squared_norm",
    "tanh",
    "tanh_backward",
]
