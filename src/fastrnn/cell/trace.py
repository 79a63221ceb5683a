"""A cell's function run once on symbols, which record what it does with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any, NoReturn, cast

from fastrnn._program import Node
from fastrnn.cell.graph import Graph

_current: ContextVar[Trace | None] = ContextVar("trace", default=None)

LARGEST_POWER = 8


class Trace:
    """What a cell's function has done so far.

    Attributes
    ----------
    name : str
        Of the cell, at the beginning of messages.
    graph : Graph
        Its operations, after those of another cell if these were given.
    projection : str or None
        The matrix of `project`.
    """

    def __init__(self, name: str, nodes: Sequence[Node] = ()) -> None:
        self.name = name
        self.graph = Graph(nodes)
        self.projection: str | None = None
        self.keeps = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the words of the language record here."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def apply(self, op: str, *values: Any, name: str = "", number: float = 0.0) -> Symbol:
        """Record an operation on symbols and numbers."""
        args = [self.node(value) for value in values]
        try:
            return Symbol(self, self.graph.add(op, *args, name=name, number=number))
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    def node(self, value: Any) -> int:
        """Return the number of the node of a symbol or a constant."""
        if isinstance(value, Symbol):
            if value._trace is not self:
                raise ValueError(f"{self.name}: a value of another cell, {value._trace.name}")
            return value._node
        return self.graph.const(self.number("a constant", value))

    def number(self, what: str, value: Any) -> float:
        """Return a finite number, checked."""
        if not isinstance(value, Real):
            wanted = "a value of the cell or a number" if what == "a constant" else "a number"
            raise TypeError(f"{self.name}: {what} must be {wanted}, got {type(value).__name__}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{self.name}: {what} must be finite, got {value}")
        return number


def tracing(word: str) -> Trace:
    """Return the trace that is running."""
    trace = _current.get()
    if trace is None:
        raise RuntimeError(f"cell.{word}: call it in a function under cell.define only")
    return trace


class Symbol:
    """A value of every hidden unit, in a function under `define`."""

    __slots__ = ("_node", "_trace")
    __array_ufunc__ = None  # so that NumPy leaves operators to this class

    def __init__(self, trace: Trace, node: int) -> None:
        self._trace, self._node = trace, node

    def __add__(self, other: Any) -> Symbol:
        return self._trace.apply("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self._trace.apply("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self._trace.apply("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._trace.apply("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self._trace.apply("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._trace.apply("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return self._trace.apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._trace.apply("div", other, self)

    def __pow__(self, power: Any) -> Symbol:
        if type(power) is not int or not 1 <= power <= LARGEST_POWER:
            wanted = f"an integer from 1 to {LARGEST_POWER}"
            raise TypeError(f"{self._trace.name}: a power must be {wanted}, got {power!r}")
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __neg__(self) -> Symbol:
        return self._trace.apply("neg", self)

    def __pos__(self) -> Symbol:
        return self

    def __abs__(self) -> Symbol:
        return self._trace.apply("abs", self)

    def __gt__(self, other: Any) -> Symbol:
        return self._trace.apply("gt", self, other)

    def __ge__(self, other: Any) -> Symbol:
        return self._trace.apply("ge", self, other)

    def __lt__(self, other: Any) -> Symbol:
        return self._trace.apply("gt", other, self)

    def __le__(self, other: Any) -> Symbol:
        return self._trace.apply("ge", other, self)

    def _unknown(self, *args: Any) -> NoReturn:
        why = "what a value is, is not known where the cell is defined: use cell.where"
        raise TypeError(f"{self._trace.name}: {why}")

    __bool__ = __eq__ = __ne__ = __float__ = __int__ = __index__ = __len__ = _unknown
    __iter__ = __getitem__ = __contains__ = _unknown
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<a value of {self._trace.name}>"


class Names:
    """Symbols by name, made when asked for: ``a.f``, ``a.x.f``, ``s.c``, ``w.p_i``."""

    def __init__(self, trace: Trace, what: str, op: str, names: Sequence[str]) -> None:
        self._trace, self._what, self._op, self._names = trace, what, op, names

    def __getattr__(self, name: str) -> Symbol:
        if name not in self._names:
            known = ", ".join(self._names) or "none"
            text = f"there is no {self._what} {name!r}, known: {known}"
            raise AttributeError(f"{self._trace.name}: {text}")
        return self._trace.apply(self._op, name=name)


class Sums(Names):
    """The sums of the gates, and apart those with x and with h."""

    def __init__(self, trace: Trace, gates: Sequence[str]) -> None:
        super().__init__(trace, "gate", "sum", gates)
        self.x = Names(trace, "gate", "sum_x", gates)
        self.h = Names(trace, "gate", "sum_h", gates)


def traced(trace: Trace, function: Any, *names: Sequence[str]) -> dict[str, int]:
    """Run a cell's function on symbols of its gates, states and weights; return its new states."""
    gates, states, vectors = names
    with trace.running():
        symbols = (
            Sums(trace, gates),
            Names(trace, "state", "state", states),
            Names(trace, "weight", "vector", vectors),
        )
        result = function(*symbols)
    if not isinstance(result, dict) or not all(isinstance(v, Symbol) for v in result.values()):
        came = type(result).__name__
        if isinstance(result, dict):
            came = f"a dict of {', '.join(sorted({type(v).__name__ for v in result.values()}))}"
        wanted = f"a dict of the new states ({', '.join(states)})"
        raise TypeError(f"{trace.name}: the function must return {wanted}, got {came}")
    return {cast("str", name): trace.node(value) for name, value in result.items()}
