"""The step of a cell that is a program (`fastrnn.cell.define`): its graph, one node at a time.

The sums of a gate are ``x Wx_g + b_g`` and ``h Wh_g``; the columns of Wx and b belong to the gates
`Cell.x_gates`, those of Wh to `Cell.h_gates`. With dropout, `drop_h` (N, P) times h meets Wh. The
masks (keeps, N, H) of ``keep`` are 0 or 1; without them v times p takes the place of v times the
mask.

The backward runs the other half of the program, which gives the gradients of the sums, of the
states and of each product's result; the products themselves are differentiated here.

Shapes: x (N, D), h (N, P), other states (N, H), weights as `Cell.shapes` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn._cells import Cell
from fastrnn._program import Node, Program

from .activations import sigmoid
from .sequence import dropped
from .types import Array, Stash


def step(
    cell: Cell,
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Any],
    drop_h: Array | None,
    masks: Array | None = None,
) -> tuple[tuple[Array, ...], Stash]:
    """Return the next states, h first, and what `step_backward` needs."""
    program, arrays = _program(cell), dict(zip(cell.weights, weights, strict=True))
    shape = (len(x), len(arrays["b"]) // len(cell.x_gates))
    h_dropped = dropped(states[0], drop_h)
    inputs = {("state", name): state for name, state in zip(cell.states, states, strict=True)}
    inputs |= {("vector", name): _whole(arrays[name], shape) for name in program.vectors}
    sums_x = dict(_split(cell.x_gates, x @ arrays["Wx"] + arrays["b"]))
    sums_h = dict(_split(cell.h_gates, h_dropped @ arrays["Wh"])) if cell.h_gates else {}
    inputs |= {("sum_x", gate): value for gate, value in sums_x.items()}
    inputs |= {("sum_h", gate): value for gate, value in sums_h.items()}
    joined = sums_x.keys() & sums_h.keys()
    inputs |= {("sum", gate): sums_x[gate] + sums_h[gate] for gate in joined}
    values = _evaluated(program.nodes, [], inputs, arrays, masks)
    widths = [state.shape for state in states]
    outputs = zip(program.outputs, widths, strict=True)
    after = tuple(_whole(values[node], width).copy() for node, width in outputs)
    return after, (x, h_dropped, drop_h, masks, arrays, values, widths)


def step_backward(
    cell: Cell, dstates: Sequence[Array], saved: Stash
) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
    """Return ``dx``, the gradients of the states before, and those of the weights."""
    program = _program(cell)
    x, h_dropped, drop_h, masks, arrays, values, widths = saved
    inputs = {("grad", name): dstate for name, dstate in zip(cell.states, dstates, strict=True)}
    values = _evaluated(program.backward, values, inputs, arrays, masks)
    flows = {(kind, name): values[node] for kind, name, node in program.gradients}
    before = [
        _whole(flows["state", name], shape).copy()
        for name, shape in zip(cell.states, widths, strict=True)
    ]
    H = len(arrays["b"]) // len(cell.x_gates)
    dax = _joined(cell.x_gates, ("sum", "sum_x"), flows, (len(x), H))
    gradients = {"Wx": x.T @ dax, "b": dax.sum(axis=0)}  # ax = x @ Wx + b
    if cell.h_gates:
        dah = _joined(cell.h_gates, ("sum", "sum_h"), flows, (len(x), H))
        gradients["Wh"] = h_dropped.T @ dah  # ah = h_dropped @ Wh
        before[0] += dropped(dah @ arrays["Wh"].T, drop_h)  # ah = h_dropped @ Wh
    for name in program.vectors:
        gradients[name] = _whole(flows["vector", name], (len(x), H)).sum(axis=0)
    for node in program.nodes:
        if node.op == "matmul":  # y = v @ U
            U = arrays[node.name]
            dy = _whole(flows["matrix", node.name], (len(x), U.shape[1]))
            gradients[node.name] = _whole(values[node.args[0]], (len(x), len(U))).T @ dy
    return dax @ arrays["Wx"].T, tuple(before), tuple(gradients[name] for name in cell.weights)


def _program(cell: Cell) -> Program:
    assert cell.program is not None
    return cell.program


def _split(gates: Sequence[str], sums: Array) -> Iterable[tuple[str, Array]]:
    """Return the columns of each gate."""
    return zip(gates, np.split(sums, len(gates), axis=1), strict=True)


def _joined(
    gates: Sequence[str],
    kinds: Sequence[str],
    flows: Mapping[tuple[str, str], Array],
    shape: tuple[int, int],
) -> Array:
    """Return the gradients of gates' sums side by side."""
    found = [next(flows[kind, gate] for kind in kinds if (kind, gate) in flows) for gate in gates]
    return np.concatenate([_whole(gradient, shape) for gradient in found], axis=1)


def _whole(value: Array, shape: tuple[int, ...]) -> Array:
    """Return a value of every row and unit; that of a constant is one number."""
    return np.broadcast_to(value, shape)


def _evaluated(
    nodes: Sequence[Node],
    before: Sequence[Any],
    inputs: Mapping[tuple[str, str], Array],
    arrays: Mapping[str, Array],
    masks: Array | None,
) -> list[Any]:
    """Return the values of all nodes, those computed before first."""
    values = list(before)
    dtype = arrays["b"].dtype.type
    for op, args, name, number in nodes:
        given = [values[arg] for arg in args]
        if op == "const":
            value = dtype(number)
        elif not args:
            value = inputs[op, name]
        elif op == "keep":
            value = given[0] * (dtype(number) if masks is None else masks[int(name)])
        elif op == "rstd":
            value = _rstd(given[0], dtype(number))
        elif op == "matmul":
            value = given[0] @ arrays[name]
        elif op == "matmul_t":
            value = given[0] @ arrays[name].T
        else:
            value = OPERATIONS[op](*given)
        values.append(value)
    return values


def _mean(v: Array) -> Array:
    """Return the mean of each row in all its units."""
    return np.broadcast_to(v.mean(axis=1, keepdims=True), v.shape)


def _rstd(v: Array, eps: Any) -> Array:
    """Return 1 / the standard deviation of each row in all its units."""
    return np.broadcast_to(1 / np.sqrt(v.var(axis=1, keepdims=True) + eps), v.shape)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "neg": np.negative,
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "gt": lambda a, b: (a > b).astype(a.dtype),
    "ge": lambda a, b: (a >= b).astype(a.dtype),
    "where": np.where,
    "mean": _mean,
}
