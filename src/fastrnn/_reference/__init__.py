"""Every operation of fastrnn in plain NumPy: the definition that the kernels are held to.

One file an operation. Arguments are taken as checked: arrays of
one float dtype, lengths and ids int64. `num_threads` is accepted everywhere and means nothing here.
A forward with ``train=True`` also returns a stash for its backward, which may be run more than
once; with ``train=False`` it returns None in that place.
"""

from typing import TYPE_CHECKING

from .activations import tanh as tanh
from .activations import tanh_backward as tanh_backward
from .attention import attention_backward as attention_backward
from .attention import attention_forward as attention_forward
from .attention_decoder import attention_decoder_backward as attention_decoder_backward
from .attention_decoder import attention_decoder_forward as attention_decoder_forward
from .decoding import decode_beam as decode_beam
from .decoding import decode_greedy as decode_greedy
from .decoding import decode_sample as decode_sample
from .dropout import dropout as dropout
from .embedding import embedding_backward as embedding_backward
from .embedding import embedding_forward as embedding_forward
from .linear import linear_backward as linear_backward
from .linear import linear_forward as linear_forward
from .optimizers import adagrad_update as adagrad_update
from .optimizers import adam_update as adam_update
from .optimizers import momentum_update as momentum_update
from .optimizers import rmsprop_update as rmsprop_update
from .optimizers import scale_in_place as scale_in_place
from .optimizers import sgd_update as sgd_update
from .optimizers import squared_norm as squared_norm
from .recurrent import recurrent_backward as recurrent_backward
from .recurrent import recurrent_forward as recurrent_forward
from .recurrent import recurrent_freeze as recurrent_freeze
from .recurrent import recurrent_step as recurrent_step
from .softmax_cross_entropy import softmax_cross_entropy as softmax_cross_entropy

if not TYPE_CHECKING:  # mypy takes the exports from the imports
    __all__ = [name for name, value in globals().items() if callable(value)]
