"""The functions of `fastrnn._reference`, compiled: same names, arguments and results."""

import fastrnn._kernels.runtime.openmp_env  # before anything loads OpenMP
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
from fastrnn._kernels.runtime.system import cpu_info, get_num_threads, set_num_threads

__all__ = sorted(name for name, value in globals().items() if callable(value))
