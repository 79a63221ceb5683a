"""The stateless operations: each checks its arguments once and calls the chosen backend.

Arrays are batch-first and all of one dtype, float32 or float64; any strides and byte order. For
each operation there is one function for inference and a pair for training: ``f_forward`` returns
a stash besides its results, from which ``f_backward`` computes the gradients.
"""

from __future__ import annotations

from fastrnn.ops.attention import attention, attention_backward, attention_forward
from fastrnn.ops.attention_decoder import (
    attention_decoder,
    attention_decoder_backward,
    attention_decoder_forward,
)
from fastrnn.ops.decoder_weights import DecoderWeights
from fastrnn.ops.decoding import (
    Decoded,
    Hypothesis,
    decode_beam,
    decode_greedy,
    decode_sample,
)
from fastrnn.ops.dropout import dropout, dropout_backward, dropout_forward
from fastrnn.ops.embedding import embedding, embedding_backward, embedding_forward
from fastrnn.ops.gru import gru, gru_backward, gru_forward, gru_step
from fastrnn.ops.linear import linear, linear_backward, linear_forward
from fastrnn.ops.lstm import lstm, lstm_backward, lstm_forward, lstm_step
from fastrnn.ops.optimizers import (
    adagrad_update,
    adam_update,
    momentum_update,
    rmsprop_update,
    scale_in_place,
    sgd_update,
    squared_norm,
)
from fastrnn.ops.rnn import rnn, rnn_backward, rnn_forward, rnn_step
from fastrnn.ops.softmax_cross_entropy import (
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from fastrnn.ops.tanh import tanh, tanh_backward, tanh_forward

__all__ = [
    "Decoded",
    "DecoderWeights",
    "Hypothesis",
    "adagrad_update",
    "adam_update",
    "attention",
    "attention_backward",
    "attention_decoder",
    "attention_decoder_backward",
    "attention_decoder_forward",
    "attention_forward",
    "decode_beam",
    "decode_greedy",
    "decode_sample",
    "dropout",
    "dropout_backward",
    "dropout_forward",
    "embedding",
    "embedding_backward",
    "embedding_forward",
    "gru",
    "gru_backward",
    "gru_forward",
    "gru_step",
    "linear",
    "linear_backward",
    "linear_forward",
    "lstm",
    "lstm_backward",
    "lstm_forward",
    "lstm_step",
    "momentum_update",
    "rmsprop_update",
    "rnn",
    "rnn_backward",
    "rnn_forward",
    "rnn_step",
    "scale_in_place",
    "sgd_update",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "squared_norm",
    "tanh",
    "tanh_backward",
    "tanh_forward",
]
