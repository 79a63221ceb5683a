"""A cell as data that JSON holds, and back.

What is read is checked before it is used, and then goes the way of a cell that was just written:
only the forward is in a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastrnn._cells import Cell
from fastrnn._printable import printable
from fastrnn._program import ARGUMENTS, INPUTS, Node
from fastrnn.cell.assemble import Declared, assembled
from fastrnn.cell.graph import Graph

VERSION = 1
MOST_NODES = 1000
LISTS = ("gates", "states", "vectors", "open_gates")
KEYS = ("version", "name", "title", *LISTS, "initial", "projection", "nodes", "outputs")
NUMBERED = ("const", "rstd", "keep")
ALLOWED = tuple(op for op in ARGUMENTS if op not in ("grad", "matmul_t"))
"""The operations of a forward."""


def to_dict(cell: Cell) -> dict[str, Any]:
    """Return a defined cell as a dict of JSON values.

    Raises
    ------
    TypeError
        If it is not a cell that `define` made.
    """
    program = cell.program if isinstance(cell, Cell) else None
    if program is None:
        raise TypeError("cell.to_dict: cell must be one that cell.define made")
    return {
        "version": VERSION,
        "name": cell.name,
        "title": cell.title,
        "gates": list(cell.gates),
        "states": list(cell.states),
        "vectors": list(program.vectors),
        "open_gates": list(cell.open_gates),
        "initial": dict(cell.initial),
        "projection": program.projection,
        "nodes": [_written(node) for node in program.nodes],
        "outputs": list(program.outputs),
    }


def from_dict(data: Mapping[str, Any]) -> Cell:
    """Return the cell that `to_dict` made these JSON values of.

    Raises
    ------
    ValueError
        If they are not those of a cell; one line.
    """
    try:
        return _read(data)
    except ValueError as error:
        raise ValueError(f"cell.from_dict: {printable(error)}") from None


def _written(node: Node) -> dict[str, Any]:
    """Return a node without what it does not have."""
    entries = {"op": node.op, "args": list(node.args), "name": node.name}
    written = {key: value for key, value in entries.items() if value}
    return written | {"number": node.number} if node.op in NUMBERED else written


def _read(data: Mapping[str, Any]) -> Cell:
    """Return the cell; raise ValueError."""
    if not isinstance(data, Mapping) or {*data} != {*KEYS}:
        raise ValueError(f"a cell is a dict with the keys {', '.join(KEYS)}")
    if data["version"] != VERSION:
        raise ValueError(f"version must be {VERSION}, got {data['version']!r}")
    if not isinstance(data["initial"], Mapping):
        raise ValueError("initial must be a dict")
    lists = {key: tuple(_text(key, name) for name in _list(key, data[key])) for key in LISTS}
    initial = {
        _text("initial", key): _number("initial", value) for key, value in data["initial"].items()
    }
    declared = Declared(
        name=_text("name", data["name"]),
        title=_text("title", data["title"]),
        **lists,
        initial=initial,
    )
    declared.check()
    nodes = _list("nodes", data["nodes"])
    if len(nodes) > MOST_NODES:
        raise ValueError(f"there must be at most {MOST_NODES} nodes, got {len(nodes)}")
    graph, numbers = Graph(), list[int]()
    keeps = 0
    for entry in nodes:
        node = _node(entry, declared, len(numbers), keeps)
        keeps += node.op == "keep"
        args = (numbers[arg] for arg in node.args)
        numbers.append(graph.add(node.op, *args, name=node.name, number=node.number))
    outputs = _indices("outputs", data["outputs"], len(numbers))
    if len(outputs) != len(declared.states):
        raise ValueError(f"there must be {len(declared.states)} outputs, got {len(outputs)}")
    projection = data["projection"]
    products = [node.name for node in graph.nodes if node.op == "matmul"]
    if projection is not None and projection not in products:
        raise ValueError("projection must be the name of a product's weights")
    roots = [numbers[output] for output in outputs]
    return assembled(
        declared, graph.nodes, dict(zip(declared.states, roots, strict=True)), projection
    )


def _node(entry: Any, declared: Declared, before: int, keeps: int) -> Node:
    """Return one operation; raise ValueError."""
    what = f"node {before}"
    if not isinstance(entry, Mapping) or not {*entry} <= {"op", "args", "name", "number"}:
        raise ValueError(f"{what} must be a dict with the keys op, args, name and number")
    op = _text(f"{what}: op", entry.get("op"))
    if op not in ALLOWED:
        raise ValueError(f"{what}: there is no operation {op!r}")
    args = _indices(f"{what}: args", entry.get("args", ()), before)
    if len(args) != ARGUMENTS[op]:
        raise ValueError(f"{what}: {op} takes {ARGUMENTS[op]} args, got {len(args)}")
    name = _text(f"{what}: name", entry.get("name", ""))
    number = _number(f"{what}: number", entry.get("number", 0.0))
    _check_name(what, op, name, declared, keeps)
    fit = {"const": True, "rstd": number > 0, "keep": 0 <= number <= 1}
    if not fit.get(op, number == 0):
        raise ValueError(f"{what}: {op} cannot have the number {number:g}")
    return Node(op, args, name, number)


def _check_name(what: str, op: str, name: str, declared: Declared, keeps: int) -> None:
    """Raise ValueError unless an operation may have the name; a product's is checked later."""
    known: Sequence[str] = ("",)
    if op in INPUTS and op != "const":
        known = {"state": declared.states, "vector": declared.vectors}.get(op, declared.gates)
    elif op == "keep":
        known = (str(keeps),)
    if op != "matmul" and name not in known:
        raise ValueError(f"{what}: {op} cannot have the name {name!r}")


def _list(what: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{what} must be a list, got {type(value).__name__}")
    return value


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string, got {type(value).__name__}")
    return value


def _number(what: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{what} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{what} must be finite")
    return number


def _indices(what: str, values: Any, count: int) -> tuple[int, ...]:
    for value in _list(what, values):
        if type(value) is not int or not 0 <= value < count:
            raise ValueError(f"{what} must be numbers of earlier nodes, got {value!r}")
    return tuple(values)
