"""Simplification of single operations, where the result is the same number.

Only the sign of a zero may differ, and what NaN and infinity give is kept: ``x * 0`` stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastrnn._program import Node

if TYPE_CHECKING:
    from fastrnn.cell.graph import Graph

UNIFORM = ("const", "mean", "rstd")
"""Operations with the same result for all units of a row."""

FOLDED: dict[str, Callable[..., float]] = {
    "neg": lambda a: -a,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a)),
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "abs": abs,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "max": max,
    "min": min,
    "gt": lambda a, b: float(a > b),
    "ge": lambda a, b: float(a >= b),
    "where": lambda c, a, b: a if c else b,
    "mean": lambda a: a,
    "rstd": lambda a, eps: 1 / math.sqrt(eps),
}


def simplified(graph: Graph, node: Node) -> Node | int:
    """Return the number of a node with the value of a new one, or the new one."""
    nodes = [graph.nodes[arg] for arg in node.args]
    if nodes and node.op in FOLDED and all(given.op == "const" for given in nodes):
        return graph.const(_folded(node, [given.number for given in nodes]))
    rule = RULES.get(node.op)
    return node if rule is None else rule(graph, node, nodes)


def _folded(node: Node, numbers: list[float]) -> float:
    """Return the result of an operation on constants."""
    if node.op == "rstd":
        numbers = [*numbers, node.number]
    try:
        result = FOLDED[node.op](*numbers)
    except ArithmeticError:
        result = math.nan
    except ValueError:  # outside of a function's domain
        result = math.nan
    if not math.isfinite(result):
        given = ", ".join(f"{number:g}" for number in numbers)
        raise ValueError(f"{node.op}({given}) is not a finite number")
    return result


def _is(node: Node, number: float) -> bool:
    return node.op == "const" and node.number == number


def _neg(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    if args[0].op == "neg":
        return args[0].args[0]
    if args[0].op == "sub":
        a, b = args[0].args
        return graph.add("sub", b, a)
    return node


def _add(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    (a, b), (first, second) = node.args, args
    if _is(first, 0):
        return b
    if _is(second, 0):
        return a
    if second.op == "neg":
        return graph.add("sub", a, second.args[0])
    if first.op == "neg":
        return graph.add("sub", b, first.args[0])
    return node


def _sub(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    (a, b), (first, second) = node.args, args
    if _is(second, 0):
        return a
    if _is(first, 0):
        return graph.add("neg", b)
    if second.op == "neg":
        return graph.add("add", a, second.args[0])
    return node


def _mul(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    for this, other in ((0, 1), (1, 0)):
        if _is(args[this], 1):
            return node.args[other]
        if _is(args[this], -1):
            return graph.add("neg", node.args[other])
        if args[this].op == "neg":
            product = [args[this].args[0], node.args[other]]
            return graph.add("neg", graph.add("mul", *product))
    return node


def _div(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    if _is(args[1], 1):
        return node.args[0]
    if args[0].op == "neg":
        return graph.add("neg", graph.add("div", args[0].args[0], node.args[1]))
    return node


def _where(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    _, chosen, other = node.args
    if args[0].op == "const":
        return chosen if args[0].number else other
    return chosen if chosen == other else node


def _extreme(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    return node.args[0] if node.args[0] == node.args[1] else node


def _mean(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    return node.args[0] if args[0].op in UNIFORM else node


def _keep(graph: Graph, node: Node, args: list[Node]) -> Node | int:
    return node.args[0] if node.number == 1 else node


RULES: dict[str, Callable[[Graph, Node, list[Node]], Node | int]] = {
    "neg": _neg,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "where": _where,
    "max": _extreme,
    "min": _extreme,
    "mean": _mean,
    "keep": _keep,
}
