"""The layer of an LSTM with a projection."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn._check import Rng
from fastrnn.cell.library.lstmp import lstmp
from fastrnn.layers.recurrent import RecurrentLayer


class LSTMP(RecurrentLayer):
    """LSTM with a projection: ``h' = (o * tanh(c')) Wp`` has `proj_size` units.

    Its state is the pair (h, c): h (num_layers * directions, N, proj_size), c (..., hidden_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Widths of inputs and state; how many layers, each over the outputs of the one below.
    proj_size : int
        Units of h.
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
    Sak, Senior and Beaufays 2014; the equations stand in `fastrnn/cell/library/lstmp.py`. PyTorch's
    LSTM with `proj_size` has the same.

    The keys of `params` are Wx_l0 (D, 4*H), Wh_l0 (P, 4*H), b_l0 (4*H,) and Wp_l0 (H, P) for layer
    0, with ``_reverse`` appended for the other direction; gates i, f, g, o.
    """

    cell = lstmp
    _arguments = (*RecurrentLayer._arguments, "proj_size")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        proj_size: int,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.proj_size = check.size("LSTMP", "proj_size", proj_size)
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
