"""The simple recurrent layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn._cells import CELLS
from fastrnn._check import Rng
from fastrnn.layers.recurrent import RecurrentLayer


class RNN(RecurrentLayer):
    """Simple recurrent network: ``h' = tanh(x Wx + h Wh + b)``, or relu instead of tanh.

    Its state is h (num_layers * directions, N, hidden_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Widths of inputs and state; how many layers, each over the outputs of the one below.
    nonlinearity : {"tanh", "relu"}
        What the state goes through.
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
    The keys of `params` are Wx_l0 (D, H), Wh_l0 (H, H) and b_l0 (H,) for layer 0, with
    ``_reverse`` appended for the other direction. Weights are drawn from normal distributions of
    variance 1 / rows; biases are 0.
    """

    cell = CELLS["rnn"]
    _arguments = (*RecurrentLayer._arguments, "nonlinearity")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        check.option("RNN", "nonlinearity", nonlinearity, self.cell.options["nonlinearity"])
        self.nonlinearity = nonlinearity
        self.options = {"nonlinearity": nonlinearity}
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
