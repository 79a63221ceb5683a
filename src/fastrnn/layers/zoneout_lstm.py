"""The layer of an LSTM with zoneout."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn._check import Rng
from fastrnn.cell.library.zoneout_lstm import zoneout_lstm
from fastrnn.layers.recurrent import RecurrentLayer


class ZoneoutLSTM(RecurrentLayer):
    """LSTM with zoneout: in train mode units of h and c keep what they were, at random.

    Its state is the pair (h, c), each (num_layers * directions, N, hidden_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Widths of inputs and state; how many layers, each over the outputs of the one below.
    zoneout_h, zoneout_c : float
        Probabilities, in [0, 1], of a unit to keep its value in a step, drawn for each sequence,
        step and unit; in evaluation mode h and c are their expectations.
    bidirectional : bool
        Whether each layer also runs from the last step to the first.
    dropout, recurrent_dropout : float
        Probabilities of dropping in train mode, in [0, 1): an output between two layers; a unit of
        h where it meets Wh, at every step of a sequence the same (Gal and Ghahramani 2016).
    residual : bool
        Whether layers from the third on give h plus their inputs before dropout (Wu et al. 2016);
        an error below three layers.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the initial parameters and the dropout.

    Notes
    -----
    Krueger et al. 2017; the equations stand in `fastrnn/cell/library/zoneout_lstm.py`. The
    parameters are those of `LSTM`.
    """

    _arguments = (*RecurrentLayer._arguments, "zoneout_h", "zoneout_c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        zoneout_h: float = 0.05,
        zoneout_c: float = 0.5,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.zoneout_h = check.rate("ZoneoutLSTM", "zoneout_h", zoneout_h)
        self.zoneout_c = check.rate("ZoneoutLSTM", "zoneout_c", zoneout_c)
        self.cell = zoneout_lstm(self.zoneout_h, self.zoneout_c)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            residual=residual,
            dtype=dtype,
            rng=rng,
        )
