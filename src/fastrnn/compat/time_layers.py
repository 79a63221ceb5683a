"""The layers of a textbook on compiled kernels: K. Saitoh, "Deep Learning from Scratch 2".

``from fastrnn.compat.time_layers import *`` replaces ``from common.time_layers import *``; the code
that uses the layers does not change. It also imports `np`, as the book's module does.

Parameters are arrays that the caller makes and changes. `params` and `grads` are lists of them and
of their gradients, which each `backward` overwrites in place. Inputs are batch-first, in float32 or
float64; results are float32. A wrong argument raises ValueError or TypeError with one line that
names it, before anything is computed.
"""

from __future__ import annotations

import numpy as np

from fastrnn.compat._affine import TimeAffine, TimeDropout, TimeEmbedding
from fastrnn.compat._attention import Attention, AttentionWeight, TimeAttention, WeightSum
from fastrnn.compat._loss import TimeSigmoidWithLoss, TimeSoftmaxWithLoss
from fastrnn.compat._recurrent import (
    GRU,
    LSTM,
    RNN,
    TimeBiLSTM,
    TimeGRU,
    TimeLSTM,
    TimeRNN,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "AttentionWeight",
    "TimeAffine",
    "TimeAttention",
    "TimeBiLSTM",
    "TimeDropout",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
    "TimeSigmoidWithLoss",
    "TimeSoftmaxWithLoss",
    "WeightSum",
    "np",
]
