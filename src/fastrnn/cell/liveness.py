"""How many values of a program are needed at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastrnn._program import Node, Program

LIMIT = 64


def live_values(program: Program) -> int:
    """Return the most values that are needed at once, in the forward or in the backward.

    A value is needed from its node, in the backward from the first use of one of the forward, to
    its last use. Constants do not count.
    """
    forward, nodes = len(program.nodes), (*program.nodes, *program.backward)
    gradients = [node for *_, node in program.gradients]
    return max(
        _most(nodes, range(forward), program.outputs),
        _most(nodes, range(forward, len(nodes)), gradients),
    )


def _most(nodes: Sequence[Node], steps: range, results: Iterable[int]) -> int:
    """Return the most values needed at once while these nodes are computed in order."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for step in steps:
        for value in (*nodes[step].args, step):
            first.setdefault(value, step)
            last[value] = step
    for value in results:
        first.setdefault(value, steps.stop)
        last[value] = steps.stop
    change = [0] * (steps.stop + 2)
    for value, begin in first.items():
        if nodes[value].op != "const":
            change[begin] += 1
            change[last[value] + 1] -= 1
    most = now = 0
    for step in change:
        now += step
        most = max(most, now)
    return most
