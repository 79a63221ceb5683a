"""The layer of any cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn._cells import CELLS, Cell
from fastrnn._check import Rng
from fastrnn.cell import library
from fastrnn.cell.files import from_dict, to_dict
from fastrnn.layers.recurrent import RecurrentLayer


class Recurrent(RecurrentLayer):
    """Layers of any cell: one that `fastrnn.cell.define` made, or one of the library by name.

    Every array of its state is (num_layers * directions, N, hidden_size), but h is (..., proj_size)
    where the cell projects it; the arrays of the state come in the order of the cell's states.

    Parameters
    ----------
    cell : Cell or str
        What `fastrnn.cell.define` returned, or the name of a cell: "rnn", "lstm", "gru" or one of
        the library, such as "peephole_lstm".
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
    proj_size : int, optional
        Units of h, for a cell that projects it.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the initial parameters and the dropout.

    Notes
    -----
    The keys of `params` are the weights of the cell, Wx_l0, Wh_l0, b_l0 and its own, for layer 0,
    with ``_reverse`` appended for the other direction. Matrices are drawn from normal distributions
    of variance 1 / rows; what the cell does not tell otherwise is 0.

    A file and a pickle hold the cell's program as data.
    """

    _arguments = ("cell", *RecurrentLayer._arguments, "proj_size")

    def __init__(
        self,
        cell: Cell | str | Mapping[str, Any],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        proj_size: int | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        self.cell = cell_of("Recurrent", cell)
        if self.cell.split_bias is None:  # else the option is whether there is bh
            self.options = {name: values[0] for name, values in self.cell.options.items()}
        if proj_size is not None:
            self.proj_size = check.size("Recurrent", "proj_size", proj_size)
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

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, except `rng`, as JSON has them."""
        cell = self.cell
        described = to_dict(cell) if cell.program is not None else cell.name
        return {**super().config(), "cell": described}


def cell_of(owner: str, cell: Cell | str | Mapping[str, Any]) -> Cell:
    """Return the cell that an argument means: itself, a name, or what `to_dict` made."""
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, str):
        check.option(owner, "cell", cell, (*CELLS, *library.NAMES))
        return CELLS[cell] if cell in CELLS else library.named(cell)
    if isinstance(cell, Mapping):
        return from_dict(cell)
    wanted = "a cell that fastrnn.cell.define made, or a name"
    raise TypeError(f"{owner}: cell must be {wanted}, got {type(cell).__name__}")
