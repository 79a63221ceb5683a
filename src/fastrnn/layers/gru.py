"""The GRU layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn._cells import CELLS
from fastrnn._check import Rng
from fastrnn.layers.recurrent import RecurrentLayer


class GRU(RecurrentLayer):
    """Gated recurrent unit: ``h' = (1-z)*n + z*h``.

    Its state is h (num_layers * directions, N, hidden_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Widths of inputs and state; how many layers, each over the outputs of the one below.
    reset_after : bool
        Whether the reset gate acts after the recurrent product, as in cuDNN and PyTorch, or before
        it, as in Cho et al. 2014.
    bidirectional : bool
        Whether each layer also runs from the last step to the first.
    dropout, recurrent_dropout : float
        Probabilities of dropping in train mode, in [0, 1): an output between two layers; a unit of
        h where it meets Wh, at every step of a sequence the same (Gal and Ghahramani 2016), before
        r, z and n are made; ``z*h`` has all of h.
    residual : bool
        Whether layers from the third on give h plus their inputs before dropout (Wu et al. 2016);
        an error below three layers.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the initial parameters and the dropout.

    Notes
    -----
    The equations are those of `fastrnn.ops.gru`; with `reset_after` there is a bh.

    The keys of `params` are Wx_l0 (D, 3*H), Wh_l0 (H, 3*H), b_l0 (3*H,) and, with `reset_after`,
    bh_l0 (H,) for layer 0, with ``_reverse`` appended for the other direction; gates r, z, n.
    Weights are drawn from normal distributions of variance 1 / rows; biases are 0.
    """

    cell = CELLS["gru"]
    _arguments = (*RecurrentLayer._arguments, "reset_after")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset_after: bool = True,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.reset_after = self._split_bias = bool(reset_after)
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
