"""The functions of `fastrnn._reference`, compiled: same names, arguments and results."""

from __future__ import annotations

from fastrnn._kernels.attention.attention import attention_backward, attention_forward
from fastrnn._kernels.decoder.attention_decoder import (
    attention_decoder_backward,
    attention_decoder_forward,
)
from fastrnn._kernels.decoder.decoding import decode_beam, decode_greedy, decode_sample
from fastrnn._kernels.linalg.linear import linear_backward, linear_forward
from fastrnn._kernels.pointwise.dropout import dropout
from fastrnn._kernels.pointwise.elementwise import tanh, tanh_backward
from fastrnn._kernels.pointwise.embedding import embedding_backward, embedding_forward
from fastrnn._kernels.pointwise.optimizers import (
    adagrad_update,
    adam_update,
    momentum_update,
    rmsprop_update,
    scale_in_place,
    sgd_update,
    squared_norm,
)
from fastrnn._kernels.pointwise.softmax_cross_entropy import softmax_cross_entropy
from fastrnn._kernels.recurrent.directions import run_directions
from fastrnn._kernels.recurrent.embedding_projection import embeds
from fastrnn._kernels.recurrent.gru import gru_backward, gru_forward, gru_freeze, gru_step
from fastrnn._kernels.recurrent.lstm import lstm_backward, lstm_forward, lstm_freeze, lstm_step
from fastrnn._kernels.recurrent.rnn import rnn_backward, rnn_forward, rnn_freeze, rnn_step
from fastrnn._kernels.runtime import openmp_env  # noqa: F401, before OpenMP is loaded
from fastrnn._kernels.runtime.memory import empty
from fastrnn._kernels.runtime.system import cpu_info, get_num_threads, set_num_threads

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
