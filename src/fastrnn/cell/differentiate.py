"""The backward of a program: reverse differentiation of its graph.

Each rule adds what the gradient of an operation's result gives to its arguments. The results of the
forward are used where that is shorter, as in ``1 - tanh(x)**2``. Where nothing flows there is no
node, so no zero is ever multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from fastrnn._program import Node
from fastrnn.cell.graph import Graph, alive

Gradients: TypeAlias = tuple[tuple[str, str, int], ...]
Rule: TypeAlias = "Callable[[Graph, Node, int, int], Iterable[tuple[int, int]]]"

INPUT_KINDS = ("sum", "sum_x", "sum_h", "state", "vector")


def differentiated(
    nodes: Sequence[Node], outputs: Sequence[int], states: Sequence[str], vectors: Sequence[str]
) -> tuple[tuple[Node, ...], Gradients]:
    """Return the nodes of the backward, and the gradient of each input."""
    graph = Graph(nodes)
    flows: dict[int, int] = {}

    def flow(target: int, gradient: int) -> None:
        before = flows.get(target)
        flows[target] = gradient if before is None else graph.add("add", before, gradient)

    for state, output in zip(states, outputs, strict=True):
        flow(output, graph.add("grad", name=state))
    for index in reversed(range(len(nodes))):
        rule = RULES.get(nodes[index].op)
        if index in flows and rule is not None:
            for target, gradient in rule(graph, nodes[index], index, flows[index]):
                if nodes[target].op != "const":
                    flow(target, gradient)
    inputs = {(node.op, node.name): i for i, node in enumerate(nodes) if node.op in INPUT_KINDS}
    wanted = [key for key in inputs if key[0].startswith("sum")]
    wanted += [("state", name) for name in states] + [("vector", name) for name in vectors]
    found = [(*key, flows.get(inputs.get(key, -1))) for key in wanted]
    found += [("matrix", n.name, flows.get(i)) for i, n in enumerate(nodes) if n.op == "matmul"]
    return _renumbered(graph, len(nodes), found)


def _renumbered(
    graph: Graph, forward: int, found: Sequence[tuple[str, str, int | None]]
) -> tuple[tuple[Node, ...], Gradients]:
    """Return the backward without what no gradient needs."""
    zero = graph.const(0.0) if any(node is None for *_, node in found) else -1
    whole = [(kind, name, zero if node is None else node) for kind, name, node in found]
    kept = [i for i in alive(graph.nodes, [node for *_, node in whole]) if i >= forward]
    numbers = {i: i for i in range(forward)} | {old: forward + i for i, old in enumerate(kept)}
    backward = [graph.nodes[i] for i in kept]
    return (
        tuple(node._replace(args=tuple(numbers[arg] for arg in node.args)) for node in backward),
        tuple((kind, name, numbers[node]) for kind, name, node in whole),
    )


def _neg(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("neg", dy)


def _sigmoid(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("mul", g.add("mul", dy, y), g.add("sub", g.const(1), y))


def _tanh(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("mul", dy, g.add("sub", g.const(1), g.add("mul", y, y)))


def _relu(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    zero = g.const(0)
    yield node.args[0], g.add("where", g.add("gt", y, zero), dy, zero)


def _exp(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("mul", dy, y)


def _expm1(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("mul", dy, g.add("add", y, g.const(1)))


def _log(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("div", dy, node.args[0])


def _log1p(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("div", dy, g.add("add", node.args[0], g.const(1)))


def _sqrt(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("div", dy, g.add("mul", g.const(2), y))


def _abs(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    (x,), zero = node.args, g.const(0)
    negative = g.add("where", g.add("gt", zero, x), g.add("neg", dy), zero)
    yield x, g.add("where", g.add("gt", x, zero), dy, negative)


def _add(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], dy
    yield node.args[1], dy


def _sub(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], dy
    yield node.args[1], g.add("neg", dy)


def _mul(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    a, b = node.args
    v = _normalized(g, a, b)
    if v is None:
        yield a, g.add("mul", dy, b)
        yield b, g.add("mul", dy, a)
    else:  # shorter than by its parts, and without v - mean(v)
        along = g.add("mul", y, g.add("mean", g.add("mul", dy, y)))
        across = g.add("sub", g.add("sub", dy, g.add("mean", dy)), along)
        yield v, g.add("mul", b, across)


def _normalized(g: Graph, a: int, b: int) -> int | None:
    """Return v if a is ``v - mean(v)`` and b is the reciprocal of the standard deviation of v."""
    off, rstd = g.nodes[a], g.nodes[b]
    if rstd.op != "rstd" or off.op != "sub" or off.args[0] != rstd.args[0]:
        return None
    return off.args[0] if g.nodes[off.args[1]] == Node("mean", rstd.args) else None


def _div(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    a, b = node.args
    quotient = g.add("div", dy, b)
    yield a, quotient
    yield b, g.add("neg", g.add("mul", quotient, y))


def _max(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    a, b = node.args
    yield from _chosen(g, g.add("ge", a, b), a, b, dy)


def _min(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    a, b = node.args
    yield from _chosen(g, g.add("ge", b, a), a, b, dy)


def _where(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    condition, a, b = node.args
    yield from _chosen(g, condition, a, b, dy)


def _chosen(g: Graph, condition: int, a: int, b: int, dy: int) -> Iterable[tuple[int, int]]:
    """Send a gradient to a where the condition holds, else to b."""
    zero = g.const(0)
    yield a, g.add("where", condition, dy, zero)
    yield b, g.add("where", condition, zero, dy)


def _keep(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("keep", dy, name=node.name, number=node.number)


def _mean(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("mean", dy)


def _rstd(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    (v,) = node.args
    cube = g.add("mul", g.add("mul", y, y), y)
    off = g.add("sub", v, g.add("mean", v))
    yield v, g.add("neg", g.add("mul", g.add("mul", cube, g.add("mean", dy)), off))


def _matmul(g: Graph, node: Node, y: int, dy: int) -> Iterable[tuple[int, int]]:
    yield node.args[0], g.add("matmul_t", dy, name=node.name)


RULES: dict[str, Rule] = {
    "neg": _neg,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sqrt": _sqrt,
    "abs": _abs,
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "max": _max,
    "min": _min,
    "where": _where,
    "keep": _keep,
    "mean": _mean,
    "rstd": _rstd,
    "matmul": _matmul,
}
