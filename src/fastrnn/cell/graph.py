"""A graph of operations in which nothing stands twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastrnn._program import Node
from fastrnn.cell.simplify import simplified

COMMUTATIVE = ("add", "mul")


class Graph:
    """Nodes, each after its arguments; an operation that is there already is not added again."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Node, int] = {}
        for node in nodes:
            self._append(node)

    def add(self, op: str, *args: int, name: str = "", number: float = 0.0) -> int:
        """Return the number of a node with the value of this operation."""
        node = simplified(self, Node(op, args, name, number))
        if isinstance(node, int):
            return node
        found = self._numbers.get(_key(node))
        return self._append(node) if found is None else found

    def extend(self, nodes: Iterable[Node]) -> list[int]:
        """Return the numbers here of the nodes of another graph, or of nodes of the same value."""
        numbers: list[int] = []
        for node in nodes:
            args = (numbers[arg] for arg in node.args)
            numbers.append(self.add(node.op, *args, name=node.name, number=node.number))
        return numbers

    def const(self, number: float) -> int:
        """Return the number of a constant."""
        return self.add("const", number=float(number))

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return self._numbers.setdefault(_key(node), len(self.nodes) - 1)


def alive(nodes: Sequence[Node], roots: Iterable[int]) -> list[int]:
    """Return the numbers, in order, of the nodes on which the roots depend."""
    found = set(roots)
    for index in reversed(range(len(nodes))):
        if index in found:
            found.update(nodes[index].args)
    return sorted(found)


def _key(node: Node) -> Node:
    """Return the same node for ``a + b`` and ``b + a``."""
    return node._replace(args=tuple(sorted(node.args))) if node.op in COMMUTATIVE else node
