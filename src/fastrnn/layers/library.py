"""The layers of the library of cells, `fastrnn/cell/library`: a line each."""

from __future__ import annotations

from importlib import import_module
from inspect import cleandoc

from fastrnn.layers.recurrent import RecurrentLayer

_ARGUMENTS = cleandoc(
    """
    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, dropout, recurrent_dropout, residual
        As those of `LSTM`.
    dtype, rng
        As those of `LSTM`.

    Notes
    -----
    """
)


def _layer(name: str) -> type[RecurrentLayer]:
    """Return the layer of a cell, documented by the file of the cell."""
    file = import_module(f"fastrnn.cell.library.{name}")
    cell = getattr(file, name)
    equations = (file.__doc__ or "").strip()
    first, _, notes = equations.partition("\n\n")
    notes = f"{notes}\n\nThe keys of `params` begin with {', '.join(cell.weights)}; gates"
    text = f"{first}\n\n{_ARGUMENTS}\n{notes} {', '.join(cell.gates)}."
    namespace = {"cell": cell, "__module__": __name__, "__doc__": text}
    return type(cell.title, (RecurrentLayer,), namespace)


CoupledLSTM = _layer("coupled_lstm")
IndRNN = _layer("indrnn")
LayerNormGRU = _layer("layer_norm_gru")
LayerNormLSTM = _layer("layer_norm_lstm")
MinimalGRU = _layer("minimal_gru")
PeepholeLSTM = _layer("peephole_lstm")
SLSTM = _layer("slstm")

__all__ = [
    name
    for name, value in globals().items()
    if getattr(value, "__module__", "") == __name__ and name[0] != "_"
]
