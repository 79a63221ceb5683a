"""A graph prepared to run: the recurrent operators and those between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, TypeAlias

import numpy as np

from fastrnn._check import Array
from fastrnn.convert._onnx.graph import DTYPES, Graph, Node, Value
from fastrnn.convert._onnx.memory import MAX_BYTES, SIZES, Alive
from fastrnn.convert._onnx.numpy_ops import NUMPY_OPS
from fastrnn.convert._onnx.operators import OPERATORS, WEIGHTS, Operator, Weights

Call: TypeAlias = Callable[..., Sequence[Any]]  # of what is alive, then the node's inputs


class Program:
    """The nodes of a graph as functions.

    `owner` begins the messages; with `constant_weights` those of recurrent operators must be
    constants. What a run makes may take `max_bytes`.

    Attributes
    ----------
    recurrent : list of (Operator, Weights or None)
        The recurrent operators, with their weights if these are constants.
    """

    def __init__(
        self, owner: str, graph: Graph, *, constant_weights: bool, max_bytes: int = MAX_BYTES
    ) -> None:
        for value in graph.inputs:
            if value.dtype is None:
                wanted = ", ".join(dtype.name for dtype in DTYPES.values())
                raise TypeError(f"{owner}: input {value.name!r} must be one of {wanted}")
        _check_wiring(owner, graph)
        self.owner, self.graph, self.max_bytes = owner, graph, max_bytes
        self.recurrent: list[tuple[Operator, Weights | None]] = []
        self._calls = [self._call(node, constant_weights) for node in graph.nodes]
        self._last_uses = _last_uses(graph)

    def run(self, feeds: Mapping[str, Any]) -> tuple[Array, ...]:
        """Run on inputs by name."""
        values: dict[str, Array] = dict(self.graph.constants)
        wanted = [value.name for value in self.graph.inputs]
        if set(feeds) != set(wanted):
            came = ", ".join(feeds)
            raise ValueError(f"{self.owner}: inputs must be {', '.join(wanted)}, got {came}")
        for value in self.graph.inputs:
            values[value.name] = _checked(self.owner, value, feeds[value.name])
        alive = Alive(self.max_bytes)
        for array in values.values():
            alive.add(array, free=True)
        for node, call, unused in zip(self.graph.nodes, self._calls, self._last_uses, strict=True):
            made = call(alive, *(values[name] if name else None for name in node.inputs))
            for name, array in zip(node.outputs, map(np.asarray, made), strict=False):
                if name:
                    values[name] = array
                    alive.add(array)
            alive.require(f"{self.owner}: {node}")
            for name in unused:
                alive.drop(values.pop(name))
        return tuple(values[value.name] for value in self.graph.outputs)

    def _call(self, node: Node, constant_weights: bool) -> Call:
        """Return the node as a function of its inputs."""
        owner = f"{self.owner}: {node}"
        if node.op in OPERATORS:
            return self._recurrent(Operator(owner, node), constant_weights)
        if node.op == "Cast" and node.attributes.get("to") not in DTYPES:
            raise ValueError(f"{owner}: to must be one of {', '.join(map(str, DTYPES))}")
        function, size = NUMPY_OPS[node.op], SIZES.get(node.op)
        if "" in node.inputs[: _required(function, len(node.inputs))]:
            raise ValueError(f"{owner}: an input is missing")

        def call(alive: Alive, *inputs: Any) -> Sequence[Any]:
            if size is not None:
                alive.require(owner, _said(owner, size, node, *inputs))
            made = _said(owner, function, node, *inputs)
            return made if isinstance(made, (list, tuple)) else (made,)

        return call

    def _recurrent(self, op: Operator, constant_weights: bool) -> Call:
        """Return a recurrent operator as a function, its weights prepared if they are constants."""
        names = {name: op.inputs[name] for name in WEIGHTS if op.inputs.get(name)}
        free = [name for name, value in names.items() if value not in self.graph.constants]
        if free and constant_weights:
            raise ValueError(f"{op.owner}: {', '.join(free)} must be constants of the file")
        constants = {} if free else {key: self.graph.constants[name] for key, name in names.items()}
        ready = op.weights(**constants) if constants else None
        self.recurrent.append((op, ready))

        def call(alive: Alive, *inputs: Any) -> Sequence[Array]:
            given = dict(zip(op.inputs, inputs, strict=True))
            mine = {name: given.pop(name, None) for name in WEIGHTS}
            weights = op.weights(**mine) if ready is None else ready
            alive.require(op.owner, op.size(weights, given["X"]))
            return op.run(weights, **given)

        return call


def check_known(owner: str, graph: Graph) -> None:
    """Check that a `Program` supports all operators."""
    unknown = sorted({node.op for node in graph.nodes} - {*OPERATORS, *NUMPY_OPS})
    if unknown:
        known = ", ".join([*OPERATORS, *NUMPY_OPS])
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"{owner}: unknown operators {names}; known are {known}")


def _required(function: Callable[..., Any], given: int) -> int:
    """Return how many of the inputs an operator must have."""
    _, *parameters = signature(function).parameters.values()  # the first is the node
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return given
    return sum(parameter.default is Parameter.empty for parameter in parameters)


def _said(owner: str, function: Callable[..., Any], node: Node, *inputs: Any) -> Any:
    """Call a function; its errors begin with the owner."""
    try:
        return function(node, *inputs)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"{owner}: {error}") from None
    except TypeError as error:
        raise TypeError(f"{owner}: {error}") from None


def _last_uses(graph: Graph) -> list[list[str]]:
    """Return for each node what nodes made and nothing uses after it."""
    last: dict[str, int] = {}
    made: set[str] = set()
    for position, node in enumerate(graph.nodes):
        made.update(node.outputs)
        last.update(dict.fromkeys((*node.inputs, *node.outputs), position))
    for name in ("", *(value.name for value in graph.outputs)):
        last.pop(name, None)
    unused: list[list[str]] = [[] for _ in graph.nodes]
    for name, position in last.items():
        if name in made:
            unused[position].append(name)
    return unused


def _check_wiring(owner: str, graph: Graph) -> None:
    """Check that every used value is computed."""
    made = {"", *graph.constants, *(value.name for value in graph.inputs)}
    for node in graph.nodes:
        if missing := [name for name in node.inputs if name not in made]:
            raise ValueError(f"{owner}: {node}: nothing before it makes {missing[0]!r}")
        made.update(node.outputs)
    for value in graph.outputs:
        if value.name not in made:
            raise ValueError(f"{owner}: no operator makes the output {value.name!r}")


def _checked(owner: str, value: Value, given: Any) -> Array:
    """Return an input as an array of the declared dtype and shape."""
    array, dtype = np.asarray(given), value.dtype
    assert dtype is not None
    if array.dtype.kind not in "iu" if dtype.kind == "i" else array.dtype != dtype:
        raise TypeError(f"{owner}: {value.name} must be {dtype}, got {array.dtype}")
    shape = value.shape
    if shape is not None and (
        len(shape) != array.ndim
        or any(isinstance(a, int) and a != b for a, b in zip(shape, array.shape, strict=True))
    ):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{owner}: {value.name} must have shape ({wanted}), got {array.shape}")
    ready = array.astype(dtype, copy=False)
    if ready.dtype != array.dtype and (ready != array).any():
        raise ValueError(f"{owner}: {value.name} must fit in {dtype}, got {array.max()}")
    return ready
