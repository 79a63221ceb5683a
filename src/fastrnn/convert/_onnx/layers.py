"""Recognition of the layers in an ONNX file.

Sizes and options are guessed from the names of `to_onnx` and from the weights. Then the graph that
`to_onnx` would write for these layers must be that of the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._check import Array
from fastrnn.convert._onnx.export import build
from fastrnn.convert._onnx.graph import Graph, Node
from fastrnn.convert._onnx.operators import Operator, Weights, set_cells
from fastrnn.convert._onnx.program import Program
from fastrnn.convert._onnx.weights import OPERATORS
from fastrnn.layers import Embedding, Layer, Linear


def layers_of(program: Program) -> list[Layer]:
    """Return the layers of a program.

    Raises
    ------
    ValueError
        If there are none.
    """
    graph, recurrent = program.graph, _recurrent(program)
    if len(graph.nodes) == 1 and recurrent:
        return [_stack(recurrent)]
    try:
        layers = _guess(program)
        names = {value.name for value in graph.inputs}
        state = any(name.startswith("h0") for name in names)
        wanted = build(layers, lengths="lengths" in names, state=state) if layers else None
    except (ValueError, TypeError, KeyError):  # names as from `to_onnx`, but sizes that do not fit
        wanted = None
    if wanted is None or _form(wanted) != _form(graph):
        what = "neither a single recurrent operator nor a file as to_onnx writes it"
        raise ValueError(f"{program.owner}: has no layers of fastrnn, it is {what}")
    return layers


def _recurrent(program: Program) -> list[tuple[Operator, Weights]]:
    """Return the recurrent operators with constant weights."""
    pairs = zip(program.operators, program.ready, strict=True)
    return [(operator, ready) for operator, ready in pairs if ready is not None]


def _form(graph: Graph) -> Any:
    """Return all of a graph except the values of its constants."""
    constants = {name: (array.dtype, array.shape) for name, array in graph.constants.items()}
    return graph.nodes, graph.inputs, graph.outputs, constants


def _guess(program: Program) -> list[Layer]:
    """Return the layers according to the constants' names "position.name"."""
    constants = program.graph.constants
    recurrent = iter(_recurrent(program))
    stacks: dict[str, list[tuple[Operator, Weights]]] = {}
    layers: dict[str, Layer] = {}
    for node in program.graph.nodes:
        if node.op in OPERATORS:
            position = node.inputs[1].partition(".")[0]
            stacks.setdefault(position, []).append(next(recurrent))
            layers[position] = _stack(stacks[position])
        elif node.op == "Add" and ".own_l" in node.inputs[0]:
            position = node.inputs[0].partition(".")[0]
            layers[position] = _stack(stacks[position], residual=True)
        elif node.op == "Gather":
            layers[node.inputs[0].partition(".")[0]] = _embedding(constants[node.inputs[0]])
        elif node.op == "MatMul":
            position = node.inputs[1].partition(".")[0]
            layers[position] = _linear(constants, node, position)
    return list(layers.values())


def _stack(parts: list[tuple[Operator, Weights]], *, residual: bool = False) -> Layer:
    """Return single layers as one stacked layer."""
    op, ready = parts[0]
    single = op.layer(ready)
    if len(parts) == 1:
        return single
    config = single.config() | {"num_layers": len(parts), "residual": residual}
    stacked = type(single)(**config, rng=0)
    set_cells(stacked, [cell for _, ready in parts for cell in ready.cells])
    return stacked


def _embedding(W: Array) -> Embedding:
    layer = Embedding(*W.shape, dtype=W.dtype, rng=0)
    np.copyto(layer.params["W"], W)
    return layer


def _linear(constants: dict[str, Array], node: Node, position: str) -> Linear:
    W, b = constants[node.inputs[1]], constants.get(f"{position}.b")
    layer = Linear(*W.shape, bias=b is not None, dtype=W.dtype, rng=0)
    np.copyto(layer.params["W"], W)
    if b is not None:
        np.copyto(layer.params["b"], b)
    return layer
