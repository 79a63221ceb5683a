"""The LSTM layer."""

from __future__ import annotations

from fastrnn._cells import CELLS
from fastrnn.layers.recurrent import RecurrentLayer


class LSTM(RecurrentLayer):
    """Long short-term memory: ``c' = f*c + i*g``, ``h' = o*tanh(c')``.

    Its state is the pair (h, c), each (num_layers * directions, N, hidden_size).

    Parameters
    ----------
    input_size, hidden_size, num_layers : int
        Widths of inputs and state; how many layers, each over the outputs of the one below.
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
    The equations are those of `fastrnn.ops.lstm`.

    The keys of `params` are Wx_l0 (D, 4*H), Wh_l0 (H, 4*H) and b_l0 (4*H,) for layer 0, with
    ``_reverse`` appended for the other direction; gates i, f, g, o. Weights are drawn from normal
    distributions of variance 1 / rows; biases are 0, those of the forget gate 1 (Jozefowicz et
    al. 2015).
    """

    cell = CELLS["lstm"]
