"""The compiler of programs: the graph of a cell becomes codes for simd/cells/program-inl.h.

The backward finds on the tape what it needs of the forward and cannot compute, unit by unit, from
the states before and after the step, which are kept anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from fastrnn._cells import Cell
from fastrnn._kernels.recurrent.program_code import (
    PRODUCTS,
    ROW_VALUES,
    SUMS,
    Compiled,
    Operand,
    Place,
    Root,
    RowValue,
    Run,
    Sum,
)
from fastrnn._kernels.recurrent.program_phases import Leaf, Phases
from fastrnn._program import Node


def compiled(cell: Cell) -> Compiled:
    """Compile the program of a cell."""
    return _Compiler(cell).compiled()


class _Compiler:
    def __init__(self, cell: Cell) -> None:
        assert cell.program is not None
        self.cell, self.program = cell, cell.program
        self.nodes: list[Node] = [*self.program.nodes, *self.program.backward]
        projection = self.program.projection
        self.matrices = [*self.program.matrices, *([projection] if projection else [])]
        self.next = {node: i for i, node in enumerate(self.program.outputs)}
        self.gradients = {(kind, name): node for kind, name, node in self.program.gradients}
        self.chunk = self._gates_of_a_chunk()
        self.tape: dict[int, int] = {}
        self.row_tape: dict[int, int] = {}

    def compiled(self) -> Compiled:
        for node in sorted(self._read_by_backward()):
            self._keep(node)
        phases = partial(Phases, self.nodes, self._widths(), self.matrices)
        forward = partial(phases, self._forward_leaf, self.row_tape, frozenset(self.tape))
        outputs = [
            Root(node, Place("next", i) if i else "put_h")
            for i, node in enumerate(self.program.outputs)
        ]
        tape = [Root(node, Place("tape", i)) for node, i in self.tape.items()]
        return Compiled(
            forward(outputs).code(),
            forward([*outputs, *tape]).code(),
            phases(self._backward_leaf, {}, frozenset(), list(self._backward_roots())).code(),
            len(self.tape),
            len(self.row_tape),
            len(self.chunk),
            self._runs(),
            [self.chunk["matrix", name] for name in self.matrices],
            [self.chunk["vector", name] for name in self.program.vectors],
        )

    def _widths(self) -> list[bool]:
        """Return whether each node is as wide as a projected h."""
        projection = self.program.projection
        narrow: list[bool] = []
        for node in self.nodes:
            if node.op in PRODUCTS:
                narrow.append(node.name == projection and node.op == "matmul")
            elif node.op in ("state", "grad"):
                narrow.append(projection is not None and node.name == self.cell.states[0])
            else:
                narrow.append(any(narrow[i] for i in node.args))
        return narrow

    def _gates_of_a_chunk(self) -> dict[tuple[str, str], int]:
        """Return the numbers of what a step leaves in a chunk, by kind and name."""
        x = [("x", gate) for gate in self.cell.x_gates]
        alone = [("h", gate) for gate in self.cell.h_gates if ("sum", gate) not in self.gradients]
        others = [("matrix", name) for name in self.matrices]
        vectors = [("vector", name) for name in self.program.vectors]
        return {key: i for i, key in enumerate([*x, *alone, *others, *vectors])}

    def _runs(self) -> list[Run]:
        """Return the gates that h meets, in as few runs as may be."""
        runs: list[Run] = []
        for i, gate in enumerate(self.cell.h_gates):
            at = self.chunk["x" if ("sum", gate) in self.gradients else "h", gate]
            if runs and runs[-1].chunk + runs[-1].gates == at:
                runs[-1] = runs[-1]._replace(gates=runs[-1].gates + 1)
            else:
                runs.append(Run(i, 1, at))
        return runs

    # --- what the backward reads of the forward --------------------------------------------------

    def _read_by_backward(self) -> set[int]:
        program, count = self.program, len(self.program.nodes)
        read = {i for node in program.backward for i in node.args if i < count}
        read |= {node for _, _, node in program.gradients if node < count}
        return read | set(self._operands())

    def _operands(self) -> list[int]:
        """Return the node that meets each matrix in the forward."""
        met = {node.name: node.args[0] for node in self.program.nodes if node.op == "matmul"}
        return [met[name] for name in self.matrices]

    def _keep(self, number: int) -> None:
        """Make a forward node available to the backward."""
        node = self.nodes[number]
        if self._backward_leaf(number) is not None:
            return
        if node.op in ROW_VALUES:
            self.row_tape[number] = len(self.row_tape)
        elif self._follows(number):
            for i in node.args:
                self._keep(i)
        else:
            self.tape[number] = len(self.tape)

    def _follows(self, number: int) -> bool:
        """Return whether a node follows from what is kept anyway and from row values."""
        node = self.nodes[number]
        if node.op in ROW_VALUES or self._backward_leaf(number) is not None:
            return True
        return node.op not in SUMS + PRODUCTS and all(self._follows(i) for i in node.args)

    # --- what a code begins with, and where its results go ---------------------------------------

    def _input(self, node: Node) -> Place | float | None:
        if node.op == "const":
            return node.number
        if node.op == "state":
            return Place("state", self.cell.states.index(node.name))
        if node.op == "vector":
            return Place("vector", self.program.vectors.index(node.name))
        return None

    def _forward_leaf(self, number: int) -> Leaf:
        node = self.nodes[number]
        if node.op not in SUMS:
            return self._input(node)
        x = -1 if node.op == "sum_h" else self.cell.x_gates.index(node.name)
        return Sum(x, -1 if node.op == "sum_x" else self.cell.h_gates.index(node.name))

    def _backward_leaf(self, number: int) -> Leaf:
        node = self.nodes[number]
        if node.op == "grad":
            state = self.cell.states.index(node.name)
            return Place("dstate", state) if state else "load_dh"
        if number in self.next:
            return Place("next", self.next[number])
        if number in self.tape:
            return Place("tape", self.tape[number])
        if number in self.row_tape:
            return RowValue(-1, self.row_tape[number])
        return self._input(node)

    def _backward_roots(self) -> Iterable[Root]:
        projection = self.program.projection
        for (kind, name), node in self.gradients.items():
            if kind == "state":
                state = self.cell.states.index(name)
                narrow = projection is not None and state == 0
                yield Root(node, Place("dstate", state), last=True, narrow=narrow)
            else:
                group = {"sum": "x", "sum_x": "x", "sum_h": "h"}.get(kind, kind)
                narrow = kind == "matrix" and name == projection
                yield Root(node, Place("dsum", self.chunk[group, name]), narrow=narrow)
        for matrix, node in enumerate(self._operands()):
            yield Root(node, Operand(matrix))
