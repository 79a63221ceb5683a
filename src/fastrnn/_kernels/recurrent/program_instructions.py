"""The instructions of one phase of a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from fastrnn._kernels.recurrent.program_code import (
    MOST_REGISTERS,
    NONE,
    PRODUCTS,
    ROW_VALUES,
    Instruction,
    Operand,
    Phase,
    Place,
    Root,
    RowValue,
    Sum,
    Value,
    number_in,
)
from fastrnn._program import Node

if TYPE_CHECKING:
    from fastrnn._kernels.recurrent.program_phases import Phases

Pattern: TypeAlias = tuple[str, Sequence[Value], float]
"""An operation, its operands and its constant."""


class PhaseCode:
    """Makes the instructions of one phase."""

    def __init__(self, whole: Phases, level: int, narrow: bool) -> None:
        self.whole, self.level, self.narrow = whole, level, narrow
        self.code: list[Instruction] = []
        self.known: dict[int, Value] = {}
        self.targets: dict[int, Value] = {}  # where results go that lie in memory anyway
        self.registers = 0  # virtual ones
        self.sums: list[Sum] = []
        self.row_values: list[RowValue] = []

    def phase(self, roots: Sequence[Root], *, meet: bool) -> Phase:
        """Return the phase that stores some roots, and what later phases need."""
        whole, key = self.whole, (self.level, self.narrow)
        carried = [Root(n, Place("carried", whole.carried[n])) for n in whole.stored[key]]
        early = [*carried, *(root for root in roots if not root.last)]
        for root in early:
            if isinstance(root.place, Place):
                self.targets.setdefault(root.node, whole.place(root.place))
        for number in whole.added[key]:
            partial, squared = whole.partial[number], int(whole.squared(number))
            self._do("add_up", self.value(number), Value("plain", partial), Value("plain", squared))
        for root in early:
            self._store(root)
        for root in roots:
            if root.last:  # what lies there is read until all of these are known
                self.value(root.node)
        for root in roots:
            if root.last:
                self._store(root)
        return Phase(self.sums, self._allocated(), self.row_values, meet, self.narrow)

    def value(self, number: int) -> Value:
        """Return where a node is, computing it if need be."""
        if number not in self.known:
            self.known[number] = self._found(number)
        return self.known[number]

    def _do(self, op: str, *operands: Value, to: Value = NONE, constant: float = 0.0) -> None:
        x, y, z = (*operands, NONE, NONE, NONE)[:3]
        self.code.append(Instruction(op, to, x, y, z, constant))

    def _store(self, root: Root) -> None:
        value = self.value(root.node)
        if isinstance(root.place, Operand):
            self._do("operand", value, Value("plain", root.place.matrix))
        elif isinstance(root.place, str):
            self._do(root.place, value)
        elif (to := self.whole.place(root.place)) != value:
            self._do("copy", value, value, value, to=to)

    def _found(self, number: int) -> Value:
        whole = self.whole
        node, leaf = whole.nodes[number], whole.leaf(number)
        if whole.computed(number) and whole.levels[number] < self.level:
            return whole.place(Place("carried", whole.carried[number]))
        if isinstance(leaf, Sum):
            return Value("sum", number_in(self.sums, leaf))
        if isinstance(leaf, RowValue):
            return Value("row", number_in(self.row_values, leaf))
        if isinstance(leaf, Place):
            return whole.place(leaf)
        if isinstance(leaf, float):
            return whole.constant(leaf)
        if isinstance(leaf, str):
            return self._compute(number, leaf, ())
        if node.op in ROW_VALUES:
            partial, saved = whole.partial[node.args[0]], whole.saved.get(number, -1)
            row_value = RowValue(partial, saved, node.op == "rstd", node.number)
            return Value("row", number_in(self.row_values, row_value))
        if node.op in PRODUCTS:
            matrix = whole.matrices.index(node.name)
            product = Sum(matrix=matrix, operand=whole.carried[node.args[0]])
            return Value("sum", number_in(self.sums, product))
        if node.op == "keep":
            operands = self.value(node.args[0]), Value("plain", int(node.name))
            return self._compute(number, "keep", operands, node.number)
        return self._compute(number, *self._arithmetic(node))

    def _compute(
        self, node: int, op: str, operands: Sequence[Value], constant: float = 0.0
    ) -> Value:
        """Add an instruction that computes a node."""
        to = self.targets.get(node)
        if to is None:
            to = Value("register", self.registers)
            self.registers += 1
        self._do(op, *operands, to=to, constant=constant)
        return to

    # --- arithmetic: one instruction for what two or three nodes say -----------------------------

    def _arithmetic(self, node: Node) -> Pattern:
        for pattern in (self._slope, self._with_constant, self._fused):
            found = pattern(node)
            if found is not None:
                return found
        return node.op, self._three(*node.args), 0.0

    def _three(self, *nodes: int) -> list[Value]:
        """Return the values of one to three nodes, the first again where there are fewer."""
        values = [self.value(i) for i in nodes]
        return values + values[:1] * (3 - len(values))

    def _inner(self, number: int, op: str) -> Node | None:
        """Return a node of this operation that nobody else needs and that this phase computes."""
        whole, node = self.whole, self.whole.nodes[number]
        here = whole.inner(number) and whole.levels[number] == self.level
        known = number in self.known or number in whole.carried or number in whole.apart
        alone = whole.uses[number] == 1 and not known
        return node if node.op == op and here and alone else None

    def _constant(self, number: int) -> float | None:
        found = self.whole.leaf(number)
        return found if isinstance(found, float) else None

    def _complement(self, number: int) -> int | None:
        """Return y if the node is 1 - y."""
        node = self._inner(number, "sub")
        return node.args[1] if node and self._constant(node.args[0]) == 1.0 else None

    def _slope(self, node: Node) -> Pattern | None:
        """Find d y (1 - y), of a sigmoid, and d (1 - y y), of a tanh."""
        if node.op != "mul":
            return None
        for d, factor in (node.args, node.args[::-1]):
            y, product = self._complement(factor), self._inner(factor, "mul")
            if y is None and product:
                for first, second in (product.args, product.args[::-1]):
                    if self._complement(second) == first:
                        return "sigmoid_slope", self._three(d, first), 0.0
            if y is None:
                continue
            square, left = self._inner(y, "mul"), self._inner(d, "mul")
            if square and square.args[0] == square.args[1]:
                return "tanh_slope", self._three(d, square.args[0]), 0.0
            if left and y in left.args:
                return "sigmoid_slope", self._three(left.args[left.args[0] == y], y), 0.0
        return None

    def _with_constant(self, node: Node) -> Pattern | None:
        """Find sums and products of a value and a constant."""
        if node.op not in ("add", "sub", "mul"):
            return None
        first, second = (self._constant(i) for i in node.args)
        if second is not None:
            constant = -second if node.op == "sub" else second
            op = "mul_number" if node.op == "mul" else "add_number"
            return op, self._three(node.args[0]), constant
        if first is not None:
            ops = {"add": "add_number", "sub": "from_number", "mul": "mul_number"}
            return ops[node.op], self._three(node.args[1]), first
        return None

    def _fused(self, node: Node) -> Pattern | None:
        """Find a b + c, a b - c, c - a b and (a - b) c."""
        a, b = node.args if len(node.args) == 2 else (0, 0)
        forms = {
            "add": ((a, b, "mul", "mul_add"), (b, a, "mul", "mul_add")),
            "sub": ((a, b, "mul", "mul_sub"), (b, a, "mul", "sub_mul")),
            "mul": ((a, b, "sub", "standardize"), (b, a, "sub", "standardize")),
        }
        for pair, other, op, fused in forms.get(node.op, ()):
            inner = self._inner(pair, op)
            if inner and pair != other:
                return fused, self._three(*inner.args, other), 0.0
        return None

    # --- registers -------------------------------------------------------------------------------

    def _allocated(self) -> list[Instruction]:
        """Replace virtual registers by real ones, by linear scan."""
        last = {v: i for i, c in enumerate(self.code) for v in (c.x, c.y, c.z)}
        free = list(range(MOST_REGISTERS - 1, -1, -1))
        real: dict[Value, Value] = {}
        code = self.whole.result
        allocated = []
        for i, c in enumerate(self.code):
            x, y, z = (real.get(v, v) for v in (c.x, c.y, c.z))
            ended = {v for v in (c.x, c.y, c.z) if v.kind == "register" and last[v] == i}
            free += [real[v].number for v in ended]
            to = c.to
            if to.kind == "register":
                if not free:
                    raise ValueError(f"a cell needs more than {MOST_REGISTERS} values at once")
                to = real[c.to] = Value("register", free.pop())
                code.registers = max(code.registers, to.number + 1)
                free += [to.number] if c.to not in last else []
            allocated.append(Instruction(c.op, to, x, y, z, c.constant))
        return allocated
