"""The phases of a program's code.

A node's level is the number of times that the threads which share a row must have met before it can
be computed: a mean and a product with a matrix need a value of all units. The nodes of a level are
a phase, or two where a projection makes h narrower than the rest. A value that a later phase needs
is carried there in memory, unless it can be loaded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from fastrnn._kernels.recurrent.program_code import (
    PRODUCTS,
    ROW_VALUES,
    Code,
    Place,
    Root,
    RowValue,
    Sum,
    Value,
    number_in,
)
from fastrnn._kernels.recurrent.program_instructions import PhaseCode
from fastrnn._program import Node

Leaf: TypeAlias = Place | Sum | RowValue | float | str | None
"""How a code comes by a node without computing it from others; None: it does not."""
Key: TypeAlias = tuple[int, bool]
"""Level of a phase, and whether it is narrow."""


class Phases:
    """Makes the code of one direction that stores some roots.

    `leaf` says how a node is come by; `saved` numbers the row values that the tape keeps. Nodes
    that stand `apart` are computed as they are, so that inference rounds as training does.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        narrow: Sequence[bool],
        matrices: Sequence[str],
        leaf: Callable[[int], Leaf],
        saved: dict[int, int],
        apart: frozenset[int],
        roots: Sequence[Root],
    ) -> None:
        self.nodes, self.narrow, self.matrices = nodes, narrow, matrices
        self.leaf, self.saved, self.apart, self.roots = leaf, saved, apart, roots
        self.result = Code()
        self.levels: dict[int, int] = {}
        for root in roots:
            self._find_level(root.node)
        self.uses = self._uses()
        self.carried: dict[int, int] = {}
        self.partial: dict[int, int] = {}

    def code(self) -> Code:
        """Return the code."""
        stored = self._roots_by_phase()
        self._plan_crossings(stored)
        seen = 0
        for level, narrow in stored:
            phase = PhaseCode(self, level, narrow).phase(stored[level, narrow], meet=level > seen)
            self.result.phases.append(phase)
            seen = level
        self.result.carried, self.result.partial = len(self.carried), len(self.partial)
        return self.result

    def inner(self, number: int) -> bool:
        """Return whether a node is made of others."""
        return self.leaf(number) is None

    def computed(self, number: int) -> bool:
        """Return whether a node is computed once: neither loaded nor a number of a row."""
        if isinstance(self.leaf(number), Sum):
            return True
        return self.inner(number) and self.nodes[number].op not in ROW_VALUES

    def squared(self, number: int) -> bool:
        """Return whether somebody asks for the deviation of a value from its mean."""
        asking = (self.nodes[n] for n in self.levels if self.inner(n))
        return any(node.op == "rstd" and node.args[0] == number for node in asking)

    def place(self, place: Place) -> Value:
        """Return a place as an operand."""
        return Value("place", number_in(self.result.places, place))

    def constant(self, constant: float) -> Value:
        """Return a constant as an operand."""
        return Value("constant", number_in(self.result.constants, constant))

    def _find_level(self, number: int) -> None:
        """Find the levels of a node and of all that it is made of."""
        if number in self.levels:
            return
        node, level = self.nodes[number], 0
        if self.inner(number):
            for i in node.args:
                self._find_level(i)
            level = max(self.levels[i] for i in node.args) + (node.op in PRODUCTS + ROW_VALUES)
        self.levels[number] = level

    def _uses(self) -> dict[int, int]:
        """Return how often each node is read."""
        uses = dict.fromkeys(self.levels, 0)
        read = [i for n in self.levels if self.inner(n) for i in self.nodes[n].args]
        for number in [*read, *(root.node for root in self.roots)]:
            uses[number] += 1
        return uses

    def _roots_by_phase(self) -> dict[Key, list[Root]]:
        """Return the phases in their order, with what each of them stores."""
        keys = {(self.levels[n], self.narrow[n]) for n in self.levels if self.computed(n)}
        for n in self.levels:
            if self.inner(n) and self.nodes[n].op in PRODUCTS + ROW_VALUES:
                (operand,) = self.nodes[n].args
                keys.add((self.levels[operand], self.narrow[operand]))
        keys |= {(self.levels[root.node], self._is_narrow(root)) for root in self.roots}
        phases: dict[Key, list[Root]] = {key: [] for key in sorted(keys)}
        last = {narrow: level for level, narrow in phases}
        for root in self.roots:
            narrow = self._is_narrow(root)
            phases[last[narrow] if root.last else self.levels[root.node], narrow].append(root)
        return phases

    def _is_narrow(self, root: Root) -> bool:
        return self.narrow[root.node] if root.narrow is None else root.narrow

    def _plan_crossings(self, phases: dict[Key, list[Root]]) -> None:
        """Find what is carried from one phase to another, and what is added up over a row."""
        self.stored: dict[Key, list[int]] = {key: [] for key in phases}
        self.added: dict[Key, list[int]] = {key: [] for key in phases}
        for n in sorted(self.levels):
            for i in self.nodes[n].args if self.inner(n) else ():
                if self.nodes[n].op in ROW_VALUES:
                    self._cross(self.partial, self.added, i)
                elif self.nodes[n].op in PRODUCTS or self._comes_late(i, self.levels[n]):
                    self._cross(self.carried, self.stored, i)
        for (level, _), roots in phases.items():
            for root in roots:
                if self._comes_late(root.node, level):
                    self._cross(self.carried, self.stored, root.node)

    def _comes_late(self, number: int, level: int) -> bool:
        return self.computed(number) and self.levels[number] < level

    def _cross(self, numbers: dict[int, int], phases: dict[Key, list[int]], number: int) -> None:
        if number not in numbers:
            numbers[number] = len(numbers)
            phases[self.levels[number], self.narrow[number]].append(number)
