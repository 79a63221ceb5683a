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


_FILES = {
    "CoupledLSTM": "coupled_lstm",
    "IndRNN": "indrnn",
    "LayerNormGRU": "layer_norm_gru",
    "LayerNormLSTM": "layer_norm_lstm",
    "MinimalGRU": "minimal_gru",
    "PeepholeLSTM": "peephole_lstm",
    "SLSTM": "slstm",
}
"""The file of each layer's cell, traced at the first use of the layer."""

__all__ = list(_FILES)


def __getattr__(name: str) -> type[RecurrentLayer]:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    layer: type[RecurrentLayer] = globals().setdefault(name, _layer(_FILES[name]))
    return layer


def __dir__() -> list[str]:
    return sorted({*globals(), *_FILES})
