"""Parameters under PyTorch's names, in dictionaries and files, without PyTorch.

PyTorch's matrices are transposed, its gates are in the same order, and every gate has two biases.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn import _storage
from fastrnn._check import Array
from fastrnn.convert import cells, loading
from fastrnn.layers import LSTMP, Layer, Linear
from fastrnn.layers.recurrent import RecurrentLayer

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # in the order of CellWeights
_PROJECTION = "weight_hr"
_KNOWN = (*loading.CONVERTIBLE, LSTMP)
_PLAIN = {"W": "weight", "b": "bias"}  # of embeddings and linear layers


def state_dict(layer: Layer, *, prefix: str = "", cell: bool = False) -> dict[str, Array]:
    """Return copies of the parameters under the names and in the shapes of PyTorch.

    Parameters
    ----------
    layer : RNN, LSTM, LSTMP, GRU, Embedding or Linear
        A GRU must have ``reset_after=True``, as in PyTorch. Residual connections are an error.
    prefix : str
        Prefix of all names.
    cell : bool
        Use the names of the ``*Cell`` modules, for one layer in one direction.

    Returns
    -------
    dict of str to array
        ``weight_ih_l0 (gates * H, D)``, ``weight_hh_l0 (gates * H, H)``, `bias_ih_l0` and
        ``bias_hh_l0 (gates * H,)``, for an LSTMP ``weight_hr_l0 (P, H)``, and so on; or `weight`
        and `bias`. The bias of a gate with one bias is in `bias_ih`, and `bias_hh` is 0.

    Raises
    ------
    TypeError
        If the layer has another class.
    ValueError
        If PyTorch has no such layer.
    """
    loading.check_layer("state_dict", layer, _KNOWN)
    if isinstance(layer, RecurrentLayer):
        _check_counterpart(layer, cell)
        arrays = []
        for weights, ours in zip(cells.of_layer(layer, "torch"), layer.weights(), strict=True):
            arrays += [array.T for array in weights]
            arrays += [ours[-1].T] if layer.proj_size else []
        names = _names(layer, cell)
    else:
        arrays = [_transposed(layer, param) for param in layer.params.values()]
        names = [_PLAIN[key] for key in layer.params]
    return {prefix + name: array.copy() for name, array in zip(names, arrays, strict=True)}


def load_state_dict(
    layer: Layer, source: Mapping[str, Any] | str | os.PathLike[str], *, prefix: str = ""
) -> None:
    """Overwrite the parameters of a layer by arrays with PyTorch's names and shapes.

    Parameters
    ----------
    layer : RNN, LSTM, LSTMP, GRU, Embedding or Linear
        Must have the sizes and the dtype of the arrays; a GRU must have ``reset_after=True``.
    source : mapping of str to array, or path-like
        The arrays, or a safetensors file of them, with either form of names from `state_dict`. If
        all biases are missing, as with PyTorch's ``bias=False``, they become 0.
    prefix : str
        Read only names with this prefix: ``"encoder.rnn."`` selects one layer of a model.

    Raises
    ------
    TypeError
        If a dtype is not the layer's, or the layer or the source has another class.
    ValueError
        If names are missing or left over, a shape does not fit, the file is damaged, or the layer
        is frozen. The parameters are then unchanged.
    OSError
        If the file cannot be read.

    Notes
    -----
    PyTorch has two biases for every gate. fastrnn has one, their sum, except for the candidate gate
    of a GRU.
    """
    loading.check_layer("load_state_dict", layer, _KNOWN)
    came = _read(source, prefix)
    single = isinstance(layer, RecurrentLayer) and len(layer.weights()) == 1
    cell = single and any(prefix + name in came for name in _NAMES[:2])
    wanted = state_dict(layer, prefix=prefix, cell=cell)
    if isinstance(layer, RecurrentLayer):
        biases = {key: np.zeros_like(array) for key, array in wanted.items() if array.ndim == 1}
        if biases.keys().isdisjoint(came):
            came |= biases
    arrays = loading.matching(layer, wanted, came)
    loading.assign(layer, _params(layer, arrays))


def _params(layer: Layer, arrays: list[Array]) -> dict[str, Array]:
    """Return the parameters from arrays in the order of `state_dict`."""
    if not isinstance(layer, RecurrentLayer):
        named = zip(layer.params, arrays, strict=True)
        return {key: _transposed(layer, array).copy() for key, array in named}
    count = len(_names(layer, cell=True))
    parts = [arrays[first : first + count] for first in range(0, len(arrays), count)]
    weights = [cells.CellWeights(*(array.T for array in part[: len(_NAMES)])) for part in parts]
    own = [{"Wp": part[-1].T} for part in parts] if layer.proj_size else None
    return cells.params(layer, "torch", weights, own)


def _read(source: Any, prefix: str) -> dict[str, Any]:
    """Return the arrays of a mapping or a file whose names begin with the prefix."""
    if isinstance(source, Mapping):
        return {str(key): array for key, array in source.items() if str(key).startswith(prefix)}
    if isinstance(source, (str, os.PathLike)):
        return dict(_storage.read_any(source, prefix))
    came = type(source).__name__
    raise TypeError(f"load_state_dict: source must be a mapping or a path, got {came}")


def _names(layer: RecurrentLayer, cell: bool) -> list[str]:
    """Return PyTorch's names of the weights of all layers and directions."""
    directions = ("", "_reverse")[: layer.directions]
    suffixes = [f"_l{k}{direction}" for k in range(layer.num_layers) for direction in directions]
    names = (*_NAMES, _PROJECTION) if layer.proj_size else _NAMES
    return [name + suffix for suffix in ([""] if cell else suffixes) for name in names]


def _transposed(layer: Layer, array: Array) -> Array:
    """Convert an array of one library to the other's layout."""
    return array.T if isinstance(layer, Linear) else array


def _check_counterpart(layer: RecurrentLayer, cell: bool) -> None:
    """Raise if PyTorch has no such layer."""
    name = type(layer).__name__
    if layer.cell.split_bias is not None and not cells.splits_bias(layer):
        raise ValueError(f"{name}: reset_after must be True, as PyTorch's always is, got False")
    if any(map(layer.adds_inputs, range(layer.num_layers))):
        raise ValueError(f"{name}: residual must be False, as PyTorch's always is, got True")
    if cell and layer.proj_size:
        raise ValueError(f"{name}: cell must be False, as PyTorch's cells have no projection")
    if cell and (layer.num_layers, layer.bidirectional) != (1, False):
        raise ValueError(
            f"{name}: cell=True needs num_layers=1 and bidirectional=False, got "
            f"num_layers={layer.num_layers} and bidirectional={layer.bidirectional}"
        )
