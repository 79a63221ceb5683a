"""Export of layers to ONNX: `to_onnx`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastrnn._check import Array
from fastrnn.convert import cells, variants
from fastrnn.convert._onnx import files
from fastrnn.convert._onnx.attributes import operator_of
from fastrnn.convert._onnx.graph import TYPE_OF, Graph, Node, Value
from fastrnn.convert._onnx.operators import INPUTS, PEEPHOLES
from fastrnn.convert.loading import check_own
from fastrnn.layers import RECURRENT, Embedding, Layer, Linear, Recurrent
from fastrnn.layers.plain import require_plain
from fastrnn.layers.recurrent import RecurrentLayer

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)

RECURRENTS = (*RECURRENT.values(), *variants.LAYERS.values(), Recurrent, RecurrentLayer)
KNOWN: tuple[type[Layer], ...] = (*RECURRENTS, Linear, Embedding)
"""The classes of layers, of which a subclass must not replace methods."""


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
    model : recurrent layer, Linear, Embedding, LanguageModel or sequence of layers
        Model to write; in a sequence of layers, each takes the outputs of the previous one. A
        recurrent layer is an `RNN`, `LSTM`, `GRU`, or one whose cell is a program that ONNX's
        operators of these names compute: a `PeepholeLSTM`, a `CoupledLSTM`, or a `Recurrent` with
        other activations, clipped or not.
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
        If the model has another class, a recurrent layer another cell, or a parameter another
        dtype.
    OSError
        If the file cannot be written.
    ImportError
        If onnx is not installed.

    Notes
    -----
    Dropout is not written, because it does not run in inference. Numbers of a program, as the slope
    of an activation, are rounded to float32. ONNX Runtime has only float32 kernels for the
    recurrent operators; its final state for a sequence of length 0 is zeros.
    """
    files.write(path, build(_layers(model), lengths=lengths, state=state))


def build(layers: Sequence[Any], *, lengths: bool, state: bool) -> Graph:
    """Return the graph of layers that run one after another."""
    _check_chain(layers)
    first, last = layers[0], layers[-1]
    recurrent = sum(isinstance(layer, RecurrentLayer) for layer in layers)
    for name, wanted in {"lengths": lengths, "state": state}.items():
        if wanted and not recurrent:
            raise ValueError(f"to_onnx: {name} needs a recurrent layer, the model has none")
    builder = _Builder(several=recurrent > 1)
    if isinstance(first, Embedding):
        builder.inputs.append(Value("ids", INT64, ("N", "T")))
    else:
        builder.inputs.append(Value("x", first.dtype, ("N", "T", first.input_size)))
    x = builder.inputs[0].name
    if lengths:
        builder.inputs.append(Value("lengths", INT64, ("N",)))
        builder.add("Cast", ["lengths"], ["sequence_lens"], to=TYPE_OF[INT32])
    builder.outputs.append(Value("y", last.dtype, ("N", "T", _width(last))))
    for position, layer in enumerate(layers):
        y = "y" if layer is last else f"{position}.y"
        if isinstance(layer, RecurrentLayer):
            builder.recurrent(position, layer, x, y, lengths=lengths, state=state)
        else:
            builder.plain(f"{position}.", layer, x, y)
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

    def plain(self, prefix: str, layer: Layer, x: str, y: str) -> None:
        """Add an embedding or a linear layer."""
        W, *b = (self.constant(prefix + key, layer.param(key)) for key in layer.params)
        if isinstance(layer, Embedding):
            self.add("Gather", [W, x], [y], axis=0)
            return
        product = f"{prefix}xW" if b else y
        self.add("MatMul", [x, W], [product])
        if b:
            self.add("Add", [product, *b], [y])

    def recurrent(
        self, position: int, layer: Any, x: str, y: str, *, lengths: bool, state: bool
    ) -> None:
        """Add a stack: time-major inside, as ONNX Runtime has no other layout."""
        prefix, states = f"{position}.", layer.cell.states
        op, attributes = operator_of(layer)
        initial = [self._initial(position, layer, f"{name}0") for name in states if state]
        final = [self._state(position, layer, name) for name in states]
        shape = self.constant(f"{prefix}shape", np.array([0, 0, _width(layer)], np.int64))
        self.add("Transpose", [x], [f"{prefix}x_l0"], perm=[1, 0, 2])
        for k in range(layer.num_layers):
            top = k == layer.num_layers - 1
            below, Y, turned = (f"{prefix}{name}_l{k}" for name in ("x", "Y", "turned"))
            inputs = [below, *self._weights(prefix, layer, k), "sequence_lens" if lengths else ""]
            inputs += [parts[k] for parts in initial]
            inputs += self._peepholes(prefix, layer, k, len(inputs))
            self.add(op, inputs, [Y, *(parts[k] for _, parts in final)], **attributes)
            self.add("Transpose", [Y], [turned], perm=[2, 0, 1, 3] if top else [0, 2, 1, 3])
            out = y if top else f"{prefix}x_l{k + 1}"
            if not layer.adds_inputs(k):
                self.add("Reshape", [turned, shape], [out])
                continue
            own = f"{prefix}own_l{k}"
            self.add("Reshape", [turned, shape], [own])
            if top:  # its outputs are batch-first
                self.add("Transpose", [below], [f"{below}_turned"], perm=[1, 0, 2])
                below = f"{below}_turned"
            self.add("Add", [own, below], [out])
        for whole, parts in final:
            self.outputs.append(whole)
            if len(parts) > 1:
                self.add("Concat", parts, [whole.name], axis=0)

    def _weights(self, prefix: str, layer: Any, k: int) -> list[str]:
        """Add the constants W, R and B of one layer of a stack."""
        first = k * layer.directions
        ours = layer.weights()[first : first + layer.directions]
        theirs = [cells.to_library(layer.cell, arrays, "onnx") for arrays in ours]
        arrays = {
            "W": [weights.Wx.T for weights in theirs],
            "R": [weights.Wh.T for weights in theirs],
            "B": [np.concatenate([weights.bx, weights.bh]) for weights in theirs],
        }
        return [self.constant(f"{prefix}{name}_l{k}", np.stack(a)) for name, a in arrays.items()]

    def _peepholes(self, prefix: str, layer: Any, k: int, before: int) -> list[str]:
        """Add the constant P, if the cell has peepholes, at its place after so many inputs."""
        if {*PEEPHOLES}.isdisjoint(layer.cell.weights):
            return []
        first = k * layer.directions
        ours = layer.weights()[first : first + layer.directions]
        named = [dict(zip(layer.cell.weights, arrays, strict=True)) for arrays in ours]
        none = np.zeros(layer.hidden_size, layer.dtype)  # of a gate that the cell lacks
        P = [np.concatenate([arrays.get(name, none) for name in PEEPHOLES]) for arrays in named]
        constant = self.constant(f"{prefix}P_l{k}", np.stack(P))
        return [*[""] * (INPUTS.index("P") - before), constant]

    def _initial(self, position: int, layer: Any, name: str) -> list[str]:
        """Add an input for an initial state; return the names of its parts."""
        whole, parts = self._state(position, layer, name)
        self.inputs.append(whole)
        if len(parts) > 1:
            sizes = np.full(len(parts), layer.directions, np.int64)
            constant = self.constant(f"{position}.split", sizes)
            self.add("Split", [whole.name, constant], parts, axis=0)
        return parts

    def _state(self, position: int, layer: Any, name: str) -> tuple[Value, list[str]]:
        """Return an initial or final state, and the names of its parts by layer of the stack."""
        whole = f"{name}_{position}" if self.several else name
        parts = [f"{position}.{name}_l{k}" for k in range(layer.num_layers)]
        shape = (layer.num_layers * layer.directions, "N", layer.hidden_size)
        return Value(whole, layer.dtype, shape), parts if len(parts) > 1 else [whole]


def _layers(model: Any) -> list[Layer]:
    """Return the layers of a model in the order of computation."""
    chain = getattr(model, "chain", [model] if isinstance(model, Layer) else model)
    if hasattr(type(model), "chain"):
        base = next(cls for cls in type(model).__mro__ if "chain" in vars(cls))
        require_plain("to_onnx", "model", model, base)
    if not (isinstance(chain, (list, tuple)) and chain):
        chain = [chain]
    for layer in chain:
        if not isinstance(layer, KNOWN):
            wanted = "a recurrent layer, Linear, Embedding, a LanguageModel or a list of layers"
            raise TypeError(f"to_onnx: model must be {wanted}, got {type(layer).__name__}")
        check_own("to_onnx", layer, KNOWN)
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
        if layer.dtype != below.dtype:
            raise TypeError(f"{name} is {layer.dtype}, the one before {below.dtype}")


def _width(layer: Any) -> int:
    """Return the number of output features of a layer."""
    if isinstance(layer, Embedding):
        return layer.embedding_size
    if isinstance(layer, Linear):
        return layer.output_size
    width: int = layer.hidden_size * layer.directions
    return width
