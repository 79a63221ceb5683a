"""Recognition of the layers in an ONNX file.

Sizes and options are guessed from the names of `to_onnx` and from the weights. Then the graph that
`to_onnx` would write for these layers must be that of the file.
"""

from __future__ import annotations

from typing import Any

from fastrnn.convert._onnx.export import build
from fastrnn.convert._onnx.graph import Graph
from fastrnn.convert._onnx.operators import OPERATORS, Operator, Weights, fill
from fastrnn.convert._onnx.program import Program
from fastrnn.layers import Embedding, Layer, Linear


def layers_of(program: Program) -> list[Layer]:
    """Return the layers of a program, or raise ValueError if there are none."""
    graph = program.graph
    recurrent = [(op, ready) for op, ready in program.recurrent if ready is not None]
    if len(graph.nodes) == 1 and recurrent:
        return [_stack(recurrent)]
    try:
        layers = _guess(graph, recurrent)
        names = {value.name for value in graph.inputs}
        state = any(name.startswith("h0") for name in names)
        wanted = build(layers, lengths="lengths" in names, state=state) if layers else None
    except (ValueError, TypeError, KeyError):  # names as from `to_onnx`, but sizes that do not fit
        wanted = None
    if wanted is None or _form(wanted) != _form(graph):
        what = "neither a single recurrent operator nor a file as to_onnx writes it"
        raise ValueError(f"{program.owner}: has no layers of fastrnn, it is {what}")
    return layers


def _form(graph: Graph) -> Any:
    """Return all of a graph except the values of its constants."""
    constants = {name: (array.dtype, array.shape) for name, array in graph.constants.items()}
    return graph.nodes, graph.inputs, graph.outputs, constants


def _guess(graph: Graph, recurrent: list[tuple[Operator, Weights]]) -> list[Layer]:
    """Return the layers according to the constants' names "position.name"."""
    constants, operators = graph.constants, iter(recurrent)
    stacks: dict[str, list[tuple[Operator, Weights]]] = {}
    layers: dict[str, Layer] = {}
    for node in graph.nodes:
        # These have their weights in the second input, the others in the first.
        position = node.inputs[1 if node.op in (*OPERATORS, "MatMul") else 0].partition(".")[0]
        if node.op in OPERATORS:
            stacks.setdefault(position, []).append(next(operators))
            layers[position] = _stack(stacks[position])
        elif node.op == "Add" and ".own_l" in node.inputs[0]:
            layers[position] = _stack(stacks[position], residual=True)
        elif node.op == "Gather":
            W = constants[node.inputs[0]]
            layers[position] = Embedding(*W.shape, dtype=W.dtype, rng=0)
            fill(layers[position], [W])
        elif node.op == "MatMul":
            W, b = constants[node.inputs[1]], constants.get(f"{position}.b")
            layers[position] = Linear(*W.shape, bias=b is not None, dtype=W.dtype, rng=0)
            fill(layers[position], [W, b])
    return list(layers.values())


def _stack(parts: list[tuple[Operator, Weights]], *, residual: bool = False) -> Layer:
    """Return single layers as one stacked layer."""
    op, ready = parts[0]
    single = op.layer(ready)
    if len(parts) == 1:
        return single
    config = single.config() | {"num_layers": len(parts), "residual": residual}
    stacked = type(single)(**config, rng=0)
    fill(stacked, [array for _, ready in parts for cell in ready.cells for array in cell])
    return stacked
