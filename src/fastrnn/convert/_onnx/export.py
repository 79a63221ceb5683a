"""Export of layers to ONNX: `to_onnx`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastrnn._check import Array, DType
from fastrnn.convert._onnx import files, weights
from fastrnn.convert._onnx.graph import TYPE_OF, Graph, Node, Value
from fastrnn.layers import RECURRENT, Embedding, Layer, Linear
from fastrnn.layers.recurrent import Recurrent

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


def to_onnx(
    model: Any, path: str | os.PathLike[str], *, lengths: bool = False, state: bool = False
) -> None:
    """Write layers as an ONNX file (opset 14), for inference.

    The first input is x (N, T, D), or int64 ids (N, T) if an `Embedding` comes first; N and T are
    free. The outputs are y (N, T, ...), for a `LanguageModel` the logits, and the final state of
    the recurrent layers: h and, for an LSTM, c. If several layers of a list are recurrent, the
    names of their states end in `_k` for layer k of the list.

    Parameters
    ----------
    model : RNN, LSTM, GRU, Linear, Embedding, LanguageModel or sequence of layers
        Model to write; in a sequence, each layer takes the outputs of the previous one.
    path : path-like
        File to write; after an error an existing file is unchanged.
    lengths : bool
        Add an int64 input lengths (N,), the number of steps of each sequence.
    state : bool
        Add inputs h0 and, for an LSTM, c0 (num_layers * directions, N, H), the initial state;
        without them it is zeros.

    Raises
    ------
    ValueError
        If layers of a sequence do not fit, or there is no recurrent layer for `lengths` or `state`.
    TypeError
        If the model has another class, or a parameter another dtype.
    OSError
        If the file cannot be written.
    ImportError
        If onnx is not installed.

    Notes
    -----
    Dropout is not written, because it does not run in inference. ONNX Runtime has only float32
    kernels for the recurrent operators; its final state for a sequence of length 0 is zeros.
    """
    files.write(path, build(_layers(model), lengths=lengths, state=state))


def build(layers: Sequence[Any], *, lengths: bool, state: bool) -> Graph:
    """Return the graph of layers that run one after another."""
    _check_chain(layers)
    first, last = layers[0], layers[-1]
    recurrent = sum(isinstance(layer, Recurrent) for layer in layers)
    for name, wanted in {"lengths": lengths, "state": state}.items():
        if wanted and not recurrent:
            raise ValueError(f"to_onnx: {name} needs a recurrent layer, the model has none")
    builder = _Builder(several=recurrent > 1)
    if isinstance(first, Embedding):
        source = Value("ids", INT64, ("N", "T"))
    else:
        source = Value("x", _dtype(first), ("N", "T", first.input_size))
    builder.inputs.append(source)
    if lengths:
        builder.inputs.append(Value("lengths", INT64, ("N",)))
        builder.add("Cast", ["lengths"], ["sequence_lens"], to=TYPE_OF[INT32])
    builder.outputs.append(Value("y", _dtype(last), ("N", "T", _width(last))))
    x = source.name
    for position, layer in enumerate(layers):
        y = "y" if layer is last else f"{position}.y"
        if isinstance(layer, Embedding):
            builder.embedding(f"{position}.", layer, x, y)
        elif isinstance(layer, Linear):
            builder.linear(f"{position}.", layer, x, y)
        else:
            builder.recurrent(position, layer, x, y, lengths=lengths, state=state)
        x = y
    return Graph(builder.nodes, builder.inputs, builder.outputs, builder.constants)


class _Builder:
    """The parts of a graph, built layer by layer; constants are named "position.name"."""

    def __init__(self, *, several: bool) -> None:
        self.several = several  # recurrent layers, which have states
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.constants: dict[str, Array] = {}

    def add(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Append a node without the missing inputs at its end."""
        given = list(inputs)
        while given and not given[-1]:
            given.pop()
        self.nodes.append(Node(op, tuple(given), tuple(outputs), attributes))

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = value
        return name

    def embedding(self, prefix: str, layer: Embedding, x: str, y: str) -> None:
        W = self.constant(f"{prefix}W", layer.param("W"))
        self.add("Gather", [W, x], [y], axis=0)

    def linear(self, prefix: str, layer: Linear, x: str, y: str) -> None:
        W = self.constant(f"{prefix}W", layer.param("W"))
        if not layer.bias:
            self.add("MatMul", [x, W], [y])
            return
        self.add("MatMul", [x, W], [f"{prefix}xW"])
        self.add("Add", [f"{prefix}xW", self.constant(f"{prefix}b", layer.param("b"))], [y])

    def recurrent(
        self, position: int, layer: Any, x: str, y: str, *, lengths: bool, state: bool
    ) -> None:
        """Add a stack: time-major inside, as ONNX Runtime has no other layout."""
        prefix, names = f"{position}.", layer.cell.states
        op, attributes = _operator(layer)
        directions = layer.directions
        initial = [self._initial(position, name, layer) if state else [] for name in names]
        shape = np.array([0, 0, directions * layer.hidden_size], np.int64)
        self.constant(f"{prefix}shape", shape)
        self.add("Transpose", [x], [f"{prefix}x_l0"], perm=[1, 0, 2])
        for k in range(layer.num_layers):
            top = k == layer.num_layers - 1
            below, Y, turned = (f"{prefix}{name}_l{k}" for name in ("x", "Y", "turned"))
            first_states = [parts[k] if parts else "" for parts in initial]
            inputs = [below, *self._weights(prefix, layer, k)]
            inputs += ["sequence_lens" if lengths else "", *first_states]
            final = [self._final(position, name, k, layer) for name in names]
            self.add(op, inputs, [Y, *final], **attributes)
            self.add("Transpose", [Y], [turned], perm=[2, 0, 1, 3] if top else [0, 2, 1, 3])
            out = y if top else f"{prefix}x_l{k + 1}"
            own = f"{prefix}own_l{k}" if layer.adds_inputs(k) else out
            self.add("Reshape", [turned, f"{prefix}shape"], [own])
            if layer.adds_inputs(k):
                self.add("Add", [own, self._batch_first(below) if top else below], [out])
        for name in names:
            self._join(position, name, layer)

    def _batch_first(self, name: str) -> str:
        """Transpose a time-major value to batch-first; return the new name."""
        turned = f"{name}_turned"
        self.add("Transpose", [name], [turned], perm=[1, 0, 2])
        return turned

    def _weights(self, prefix: str, layer: Any, k: int) -> list[str]:
        """Add the constants W, R and B of one layer of a stack."""
        first = k * layer.directions
        per_direction = [
            weights.to_onnx(layer.cell, arrays)
            for arrays in layer.weights()[first : first + layer.directions]
        ]
        return [
            self.constant(f"{prefix}{name}_l{k}", np.stack(arrays))
            for name, arrays in zip("WRB", zip(*per_direction, strict=True), strict=True)
        ]

    def _initial(self, position: int, name: str, layer: Any) -> list[str]:
        """Add an input for the initial state; return the names of its parts by layer."""
        whole = self._state(f"{name}0", position)
        shape = (layer.num_layers * layer.directions, "N", layer.hidden_size)
        self.inputs.append(Value(whole, layer.dtype, shape))
        if layer.num_layers == 1:
            return [whole]
        sizes = np.full(layer.num_layers, layer.directions, np.int64)
        parts = [f"{position}.{name}0_l{k}" for k in range(layer.num_layers)]
        self.add("Split", [whole, self.constant(f"{position}.split", sizes)], parts, axis=0)
        return parts

    def _final(self, position: int, name: str, k: int, layer: Any) -> str:
        """Return the name of the final state of one layer of a stack."""
        alone = layer.num_layers == 1
        return self._state(name, position) if alone else f"{position}.{name}_l{k}"

    def _join(self, position: int, name: str, layer: Any) -> None:
        """Add an output for the final state."""
        whole = self._state(name, position)
        shape = (layer.num_layers * layer.directions, "N", layer.hidden_size)
        self.outputs.append(Value(whole, layer.dtype, shape))
        if layer.num_layers > 1:
            parts = [self._final(position, name, k, layer) for k in range(layer.num_layers)]
            self.add("Concat", parts, [whole], axis=0)

    def _state(self, name: str, position: int) -> str:
        return f"{name}_{position}" if self.several else name


def _layers(model: Any) -> list[Layer]:
    """Return the layers of a model in the order of computation."""
    chain = getattr(model, "chain", [model] if isinstance(model, Layer) else model)
    known = (*RECURRENT.values(), Linear, Embedding)
    if not (isinstance(chain, (list, tuple)) and chain):
        chain = [chain]
    for layer in chain:
        if not isinstance(layer, known):
            names = ", ".join(cls.__name__ for cls in known)
            wanted = f"{names}, a LanguageModel or a list of layers"
            raise TypeError(f"to_onnx: model must be {wanted}, got {type(layer).__name__}")
    return list(chain)


def _check_chain(layers: Sequence[Any]) -> None:
    """Check that the sizes and dtypes of consecutive layers agree."""
    for position, (below, layer) in enumerate(pairwise(layers), 1):
        name = f"to_onnx: layer {position} ({type(layer).__name__})"
        if isinstance(layer, Embedding):
            raise ValueError(f"{name} takes ids, so it must be the first")
        if layer.input_size != _width(below):
            wanted, came = layer.input_size, _width(below)
            raise ValueError(f"{name} takes {wanted} features, the one before gives {came}")
        if _dtype(layer) != _dtype(below):
            raise TypeError(f"{name} is {_dtype(layer)}, the one before {_dtype(below)}")


def _width(layer: Any) -> int:
    """Return the number of output features of a layer."""
    if isinstance(layer, Embedding):
        return layer.embedding_size
    if isinstance(layer, Linear):
        return layer.output_size
    width: int = layer.hidden_size * layer.directions
    return width


def _dtype(layer: Any) -> DType:
    dtype: DType = layer.dtype
    return dtype


def _operator(layer: Any) -> tuple[str, dict[str, Any]]:
    """Return the operator of a recurrent layer with its attributes."""
    attributes: dict[str, Any] = {
        "hidden_size": layer.hidden_size,
        "direction": "bidirectional" if layer.bidirectional else "forward",
    }
    if "reset_after" in layer.cell.options:
        attributes["linear_before_reset"] = int(layer.reset_after)
    for names, options in layer.cell.activations.items():
        if options and options == layer.options:
            attributes["activations"] = [*names] * layer.directions
    return layer.cell.title, attributes
