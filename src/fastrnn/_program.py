"""What a cell computes in a step, forward and backward, as data that both backends read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

INPUTS = ("sum", "sum_x", "sum_h", "state", "vector", "const")
"""Operations without arguments: a gate's sums, a state before the step, weights, a number."""

ARGUMENTS = (
    dict.fromkeys((*INPUTS, "grad"), 0)
    | dict.fromkeys(("neg", "sigmoid", "tanh", "relu", "exp", "expm1"), 1)
    | dict.fromkeys(("log", "log1p", "sqrt", "abs"), 1)
    | dict.fromkeys(("add", "sub", "mul", "div", "max", "min", "gt", "ge"), 2)
    | {"where": 3, "keep": 1, "mean": 1, "rstd": 1, "matmul": 1, "matmul_t": 1}
)
"""How many arguments each operation takes."""


class Node(NamedTuple):
    """One operation on a value of every hidden unit.

    Attributes
    ----------
    op : str
        One of `ARGUMENTS`.
    args : tuple of int
        Numbers of earlier nodes.
    name : str
        Of a gate, a state, a weight or a mask.
    number : float
        The number of ``const``, eps of ``rstd``, the probability of ``keep``.
    """

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    number: float = 0.0


@dataclass(frozen=True)
class Program:
    """The operations of a step; docs/cells.md defines them.

    Attributes
    ----------
    nodes : tuple of Node
        Those of the forward, each after its arguments.
    outputs : tuple of int
        The node of each new state, in the order of `Cell.states`.
    backward : tuple of Node
        Numbered on from `nodes`, to which they may refer.
    gradients : tuple of (kind, name, node)
        The gradient of each input: of the kinds ``sum``, ``sum_x``, ``sum_h``, ``state`` (without
        what comes through the product of h and Wh), ``vector`` (of one row) and ``matrix`` (of the
        product with it).
    vectors : tuple of str
        Weights of one number a hidden unit, (H,).
    matrices : tuple of str
        Weights (H, H).
    projection : str or None
        The weights (H, P) that make h, if any.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    backward: tuple[Node, ...]
    gradients: tuple[tuple[str, str, int], ...]
    vectors: tuple[str, ...] = ()
    matrices: tuple[str, ...] = ()
    projection: str | None = None

    @property
    def keeps(self) -> tuple[float, ...]:
        """The probability of each mask that a step takes in training."""
        return tuple(node.number for node in self.nodes if node.op == "keep")

    def gates_of(self, *ops: str) -> frozenset[str]:
        """Return the gates of which one of these sums is used."""
        return frozenset(node.name for node in self.nodes if node.op in ops)
