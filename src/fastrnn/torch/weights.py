"""The weights of one direction of a layer in PyTorch and in fastrnn.

PyTorch has weight_ih (gates*H, D), weight_hh (gates*H, H) and optionally two biases (gates*H,),
with the same order of gates. fastrnn adds the biases, except those of a GRU's candidate gate,
because the reset acts between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fastrnn._cells import Cell
from fastrnn._check import Array


def to_kernel(cell: Cell, params: Sequence[torch.Tensor]) -> list[Array]:
    """Return Wx, Wh, b and, for a GRU, bh."""
    weight_ih, weight_hh, *biases = (param.numpy(force=True) for param in params)
    Wx, Wh = weight_ih.T, weight_hh.T
    bias_ih, bias_hh = biases or 2 * [np.zeros(Wh.shape[1], Wh.dtype)]
    b = bias_ih + bias_hh
    if cell.split_bias is None:
        return [Wx, Wh, b]
    n = -len(Wh)  # it is the last gate
    b[n:] = bias_ih[n:]
    return [Wx, Wh, b, bias_hh[n:]]


def to_torch(
    cell: Cell, grads: Sequence[Array], wanted: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return the wanted gradients of `params` from those of fastrnn's weights."""
    dWx, dWh, db, *dbh = grads
    db_hh = np.concatenate([db[: -len(dWh)], *dbh]) if dbh else db.copy()
    return [
        torch.from_numpy(grad).t().contiguous() if want else None  # t() of a bias is itself
        for grad, want in zip((dWx, dWh, db, db_hh), wanted, strict=False)
    ]
