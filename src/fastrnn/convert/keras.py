"""Keras layers and their lists of weights to fastrnn layers and back, without importing Keras.

Keras has the same matrix layout, but the update gate of a GRU comes before the reset gate. A GRU
with `reset_after` has two biases in one array (2, 3*H), all other layers have one.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from fastrnn._cells import CELLS, Cell
from fastrnn._check import Array
from fastrnn.convert import cells, keras_activations, loading, variants
from fastrnn.convert.cells import CellWeights
from fastrnn.convert.loading import Convertible
from fastrnn.layers import RECURRENT, Embedding, Layer, Linear, Recurrent
from fastrnn.layers.recurrent import RecurrentLayer

# Keras calls its plain RNN otherwise.
_RECURRENT = {{"RNN": "SimpleRNN"}.get(cell.title, cell.title): cell for cell in CELLS.values()}
_KINDS = (*_RECURRENT, "Bidirectional", "Embedding", "Dense")
_GATES = {len(cell.gates): cell for cell in CELLS.values()}
_WEIGHTS = {"Wx", "Wh", "b", "bh", "Un"}
# What our layers always have, or never; an option that is not in a layer's configuration is right.
_REQUIRED: dict[str, Any] = {
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "stateful": False,
}


def from_keras(layer_or_weights: Any) -> Convertible:
    """Build the fastrnn layer that computes the same as a Keras layer.

    Parameters
    ----------
    layer_or_weights : keras.Layer, or sequence of arrays
        A built SimpleRNN, LSTM, GRU, Embedding or Dense, or a Bidirectional around one of the first
        three; or the list that their `get_weights` returned. A list has no options, so Keras's
        defaults are assumed.

    Returns
    -------
    RNN, LSTM, GRU, Recurrent, Embedding or Linear
        In train mode, with copies of the weights. A `Recurrent` has other activations than the
        defaults.

    Raises
    ------
    TypeError
        If the layer has another class or dtype.
    ValueError
        If the layer is not built or has an unsupported option, or if the weights are not those of
        exactly one such layer.

    Notes
    -----
    Unsupported, an error: activations that mix units, as softmax, gelu, and those that are not
    Keras's own; `dropout`, `recurrent_dropout`, `go_backwards`, `stateful`, `mask_zero`,
    activations of Dense, and a `merge_mode` other than concat. The slope of hard_sigmoid is 0.2 if
    the Keras of the layer is version 2, else 1/6. Ignored: `unroll`, `return_sequences` and
    `return_state`, because a layer always returns sequences and states; initializers,
    regularizers and constraints, which concern training. With ``use_bias=False`` the biases are 0.
    Instead of masks, layers take `lengths`.
    """
    if isinstance(layer_or_weights, (list, tuple)):
        weights = [
            loading.as_array("from_keras", f"weights[{index}]", array)
            for index, array in enumerate(layer_or_weights)
        ]
        layer = _deduced(weights)
    else:
        layer = _described(layer_or_weights)
        weights = layer_or_weights.get_weights()
    load_keras_weights(layer, weights)
    return layer


def to_keras_weights(layer: Layer) -> list[Array]:
    """Return copies of the parameters as arguments of `set_weights` of a Keras layer.

    Parameters
    ----------
    layer : RNN, LSTM, GRU, Recurrent, Embedding or Linear
        A recurrent layer must have ``num_layers=1``, because Keras has one layer for each. A
        `Recurrent` must have the weights of one that `from_keras` makes.

    Returns
    -------
    list of array
        For a recurrent layer kernel (D, gates * H), recurrent kernel (H, gates * H) and bias of the
        forward direction, then of the other. The bias is (2, 3 * H) for a GRU with `reset_after`;
        the gates z and r of its second row are 0. Else embeddings, or kernel and bias.

    Raises
    ------
    TypeError
        If the layer has another class.
    ValueError
        If it has more than one layer.
    """
    _check_layer("to_keras_weights", layer)
    return list(_named(layer).values())


def load_keras_weights(layer: Layer, weights: Sequence[Any]) -> None:
    """Overwrite the parameters of a layer by the weights of a Keras layer.

    Parameters
    ----------
    layer : RNN, LSTM, GRU, Recurrent, Embedding or Linear
        Must have the sizes and the dtype of the weights.
    weights : sequence of arrays
        As from `to_keras_weights`. A recurrent layer may have no biases; they become 0.

    Raises
    ------
    TypeError
        If a dtype is not the layer's, or the layer or `weights` has another class.
    ValueError
        If there are too many or too few arrays, a shape does not fit, or the layer is frozen. The
        parameters are then unchanged.
    """
    _check_layer("load_keras_weights", layer)
    if not isinstance(weights, (list, tuple)):
        came = type(weights).__name__
        raise TypeError(f"load_keras_weights: weights must be a list of arrays, got {came}")
    wanted = _named(layer)
    arrays = loading.matching(layer, wanted, _zipped(layer, wanted, weights))
    loading.assign(layer, _params(layer, arrays))


def _check_layer(function: str, layer: Any) -> None:
    """Raise unless Keras has such a layer, or one with such weights."""
    if isinstance(layer, Recurrent):
        base = variants.base_of(layer.cell)
        if base and base.gates == layer.cell.gates and _WEIGHTS.issuperset(layer.cell.weights):
            return
    loading.check_layer(function, layer)


def _named(layer: Layer) -> dict[str, Array]:
    """Return the weights by Keras's names, in Keras's order."""
    if isinstance(layer, Embedding):
        return {"embeddings": layer.params["W"].copy()}
    if not isinstance(layer, RecurrentLayer):
        names = {"W": "kernel", "b": "bias"}
        return {names[key]: param.copy() for key, param in layer.params.items()}
    if layer.num_layers != 1:
        name = type(layer).__name__
        raise ValueError(
            f"{name}: num_layers must be 1, as Keras has a layer for each, got {layer.num_layers}"
        )
    named = {}
    for prefix, weights in zip(("", "backward "), cells.of_layer(layer, "keras"), strict=False):
        Wx, Wh, bx, bh = weights
        named[prefix + "kernel"], named[prefix + "recurrent_kernel"] = Wx, Wh
        named[prefix + "bias"] = np.stack((bx, bh)) if cells.splits_bias(layer) else bx
    return named


def _zipped(layer: Layer, wanted: dict[str, Array], weights: Sequence[Any]) -> dict[str, Any]:
    """Return the weights by name; all biases of a recurrent layer may be missing."""
    biases = {name: np.zeros_like(array) for name, array in wanted.items() if "bias" in name}
    if not (isinstance(layer, RecurrentLayer) and len(weights) == len(wanted) - len(biases)):
        biases = {}
    names = [name for name in wanted if name not in biases]
    if len(weights) != len(names):
        raise ValueError(
            f"{type(layer).__name__}: weights must be {len(names)} arrays ({', '.join(names)}), "
            f"got {len(weights)}"
        )
    return biases | dict(zip(names, weights, strict=True))


def _params(layer: Layer, arrays: list[Array]) -> dict[str, Array]:
    """Return the parameters from arrays in Keras's order."""
    if not isinstance(layer, RecurrentLayer):
        return {key: array.copy() for key, array in zip(layer.params, arrays, strict=True)}
    weights = []
    for Wx, Wh, bias in zip(arrays[::3], arrays[1::3], arrays[2::3], strict=True):
        bx, bh = bias if cells.splits_bias(layer) else (bias, np.zeros_like(bias))
        weights.append(CellWeights(Wx, Wh, bx, bh))
    return cells.params(layer, "keras", weights)


def _described(theirs: Any) -> Convertible:
    """Construct the layer with the options of a Keras layer."""
    kind = _kind(theirs, _KINDS)
    weights = theirs.get_weights()
    if not weights:
        raise ValueError(f"from_keras: the {kind} must be built first: call it on an input")
    if kind == "Bidirectional":
        _require(theirs.get_config(), "merge_mode", "concat")
        cell, options = there = _options(theirs.forward_layer, go_backwards=False)
        if there != _options(theirs.backward_layer, go_backwards=True):
            wanted = "both layers of a Bidirectional must have the same options"
            raise ValueError(f"from_keras: {wanted}")
        return variants.built(cell, len(weights[0]), bidirectional=True, **options)
    if kind in _RECURRENT:
        cell, options = _options(theirs, go_backwards=False)
        return variants.built(cell, len(weights[0]), **options)
    config, dtype = theirs.get_config(), theirs.dtype_policy.name
    if kind == "Embedding":
        _require(config, "mask_zero", False)
        return Embedding(config["input_dim"], config["output_dim"], dtype=dtype)
    _require(config, "activation", "linear")
    return Linear(len(weights[0]), config["units"], bias=config["use_bias"], dtype=dtype)


def _kind(theirs: Any, known: Collection[str]) -> str:
    """Return the name of the class if it is a known class of Keras."""
    cls = type(theirs)
    if cls.__module__.partition(".")[0] != "keras" or cls.__name__ not in known:
        wanted = ", ".join(known)
        raise TypeError(f"from_keras: layer must be one of {wanted}, got {cls.__name__}")
    if "call" in vars(theirs) or getattr(theirs, "_forward_hooks", None):  # of the torch backend
        wanted = f"the {cls.__name__} must have no hooks and no own call"
        raise ValueError(f"from_keras: {wanted}: the layer would not have them")
    return cls.__name__


def _options(theirs: Any, *, go_backwards: bool) -> tuple[Cell, dict[str, Any]]:
    """Return the cell and the options of its layer, without `input_size`."""
    cell, config = _RECURRENT[_kind(theirs, _RECURRENT)], theirs.get_config()
    for option, wanted in (_REQUIRED | {"go_backwards": go_backwards}).items():
        _require(config, option, wanted)
    options = {"hidden_size": config["units"], "dtype": theirs.dtype_policy.name}
    count = len(next(iter(cell.activations)))
    which = ("recurrent_activation",) * (count > 1) + ("activation",) * max(1, count - 1)
    names, functions = keras_activations.of_layer(theirs, config, which)
    known = {tuple(map(str.lower, each)): given for each, given in cell.activations.items()}
    reset_after = {"reset_after": config["reset_after"]} if "reset_after" in cell.options else {}
    if names in known:
        return cell, {**options, **known[names], **reset_after}
    return variants.Variant(cell.name, functions, **reset_after).cell, options


def _require(config: dict[str, Any], option: str, wanted: Any) -> None:
    """Raise unless an option has the required value."""
    came = config.get(option, wanted)
    if came != wanted:
        raise ValueError(f"from_keras: {option} must be {wanted!r}, got {reprlib.repr(came)}")


def _deduced(weights: list[Array]) -> Convertible:
    """Construct the layer for weights of these shapes."""
    shapes = [array.shape for array in weights]
    dimensions = [array.ndim for array in weights]
    unknown = ValueError(
        "from_keras: weights must be those of a SimpleRNN, LSTM, GRU, a Bidirectional of one, or "
        f"a Dense with bias, got shapes {', '.join(map(str, shapes)) or 'of no array'}"
    )
    if dimensions == [2, 1]:
        return Linear(*shapes[0], dtype=weights[0].dtype)
    if len(weights) not in (2, 3, 4, 6) or dimensions[:2] != [2, 2]:
        raise unknown
    (D, _), (H, columns) = shapes[:2]
    cell = _GATES.get(columns // max(H, 1))
    if cell is None:
        raise unknown
    options: dict[str, Any] = {"bidirectional": len(weights) in (4, 6), "dtype": weights[0].dtype}
    if "reset_after" in cell.options:
        if len(weights) in (2, 4):
            raise ValueError(
                f"from_keras: a {cell.title}'s weights without bias do not tell reset_after: "
                "give the layer, or use load_keras_weights"
            )
        options["reset_after"] = dimensions[2] == 2
    layer: RecurrentLayer = RECURRENT[cell.name](D, H, **options)
    return layer
