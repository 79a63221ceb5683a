"""The stateless operations: each checks its arguments once and calls the chosen backend.

Arrays are batch-first and all of one dtype, float32 or float64; any strides and byte order. For
each operation there is one function for inference and a pair for training: ``f_forward`` returns
a stash besides its results, from which ``f_backward`` computes the gradients.
"""

from typing import TYPE_CHECKING

from fastrnn.ops.attention import attention as attention
from fastrnn.ops.attention import attention_backward as attention_backward
from fastrnn.ops.attention import attention_forward as attention_forward
from fastrnn.ops.attention_decoder import attention_decoder as attention_decoder
from fastrnn.ops.attention_decoder import attention_decoder_backward as attention_decoder_backward
from fastrnn.ops.attention_decoder import attention_decoder_forward as attention_decoder_forward
from fastrnn.ops.decoder_weights import DecoderWeights as DecoderWeights
from fastrnn.ops.decoding import Decoded as Decoded
from fastrnn.ops.decoding import Hypothesis as Hypothesis
from fastrnn.ops.decoding import decode_beam as decode_beam
from fastrnn.ops.decoding import decode_greedy as decode_greedy
from fastrnn.ops.decoding import decode_sample as decode_sample
from fastrnn.ops.dropout import dropout as dropout
from fastrnn.ops.dropout import dropout_backward as dropout_backward
from fastrnn.ops.dropout import dropout_forward as dropout_forward
from fastrnn.ops.embedding import embedding as embedding
from fastrnn.ops.embedding import embedding_backward as embedding_backward
from fastrnn.ops.embedding import embedding_forward as embedding_forward
from fastrnn.ops.gru import gru as gru
from fastrnn.ops.gru import gru_backward as gru_backward
from fastrnn.ops.gru import gru_forward as gru_forward
from fastrnn.ops.gru import gru_step as gru_step
from fastrnn.ops.linear import linear as linear
from fastrnn.ops.linear import linear_backward as linear_backward
from fastrnn.ops.linear import linear_forward as linear_forward
from fastrnn.ops.lstm import lstm as lstm
from fastrnn.ops.lstm import lstm_backward as lstm_backward
from fastrnn.ops.lstm import lstm_forward as lstm_forward
from fastrnn.ops.lstm import lstm_step as lstm_step
from fastrnn.ops.optimizers import adagrad_update as adagrad_update
from fastrnn.ops.optimizers import adam_update as adam_update
from fastrnn.ops.optimizers import momentum_update as momentum_update
from fastrnn.ops.optimizers import rmsprop_update as rmsprop_update
from fastrnn.ops.optimizers import scale_in_place as scale_in_place
from fastrnn.ops.optimizers import sgd_update as sgd_update
from fastrnn.ops.optimizers import squared_norm as squared_norm
from fastrnn.ops.rnn import rnn as rnn
from fastrnn.ops.rnn import rnn_backward as rnn_backward
from fastrnn.ops.rnn import rnn_forward as rnn_forward
from fastrnn.ops.rnn import rnn_step as rnn_step
from fastrnn.ops.softmax_cross_entropy import softmax_cross_entropy as softmax_cross_entropy
from fastrnn.ops.softmax_cross_entropy import (
    softmax_cross_entropy_backward as softmax_cross_entropy_backward,
)
from fastrnn.ops.softmax_cross_entropy import (
    softmax_cross_entropy_forward as softmax_cross_entropy_forward,
)
from fastrnn.ops.tanh import tanh as tanh
from fastrnn.ops.tanh import tanh_backward as tanh_backward
from fastrnn.ops.tanh import tanh_forward as tanh_forward

if not TYPE_CHECKING:  # mypy takes the exports from the imports
    __all__ = [name for name, value in globals().items() if callable(value)]
