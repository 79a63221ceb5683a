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
from fastrnn._kernels.recurrent.layer import (
    recurrent_backward,
    recurrent_forward,
    recurrent_freeze,
    recurrent_step,
)
from fastrnn._kernels.runtime import openmp_env  # noqa: F401, before OpenMP is loaded
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
    "get_num_threads",
    "linear_backward",
    "linear_forward",
    "momentum_update",
    "recurrent_backward",
    "recurrent_forward",
    "recurrent_freeze",
    "recurrent_step",
    "rmsprop_update",
    "scale_in_place",
    "set_num_threads",
    "sgd_update",
    "softmax_cross_entropy",
    "squared_norm",
    "tanh",
    "tanh_backward",
]
