"""Every operation of fastrnn in plain NumPy: the definition that the kernels are held to.

One file an operation. Arguments are taken as checked: arrays of one float dtype, lengths and ids
int64. `num_threads` is accepted everywhere and means nothing here. A forward with ``train=True``
also returns a stash for its backward, which may be run more than once; with ``train=False`` it
returns None in that place.
"""

from .attention import attention_backward, attention_forward
from .attention_decoder import attention_decoder_backward, attention_decoder_forward
from .decoding import decode_beam, decode_greedy, decode_sample
from .dropout import dropout
from .embedding import embedding_backward, embedding_forward
from .linear import linear_backward, linear_forward
from .optimizers import (
    adagrad_update,
    adam_update,
    momentum_update,
    rmsprop_update,
    scale_in_place,
    sgd_update,
    squared_norm,
)
from .recurrent import (
    recurrent_backward,
    recurrent_forward,
    recurrent_freeze,
    recurrent_step,
)
from .softmax_cross_entropy import softmax_cross_entropy
from .tanh import tanh, tanh_backward

__all__ = [
    "adagrad_update",
    "adam_update",
    "attention_backward",
    "attention_decoder_backward",
    "attention_decoder_forward",
    "attention_forward",
    "decode_beam",
    "decode_greedy",
    "decode_sample",
    "dropout",
    "embedding_backward",
    "embedding_forward",
    "linear_backward",
    "linear_forward",
    "momentum_update",
    "recurrent_backward",
    "recurrent_forward",
    "recurrent_freeze",
    "recurrent_step",
    "rmsprop_update",
    "scale_in_place",
    "sgd_update",
    "softmax_cross_entropy",
    "squared_norm",
    "tanh",
    "tanh_backward",
]
