"""What the compiler of programs makes: the codes of a step, as simd/program.h has them in C."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

T = TypeVar("T")

MOST_REGISTERS = 64
ROW_VALUES = ("mean", "rstd")
"""Operations whose result is one number of a row."""
PRODUCTS = ("matmul", "matmul_t")
SUMS = ("sum", "sum_x", "sum_h")


class Place(NamedTuple):
    """Where vectors lie: a kind of `fr_place_kind` and which of them."""

    kind: str
    number: int


class Value(NamedTuple):
    """An operand of an instruction.

    It is a "register" (virtual ones at first), "sum", "place", "row" value or "constant"; a "plain"
    number stands for itself.
    """

    kind: str
    number: int


NONE = Value("plain", 0)


class Instruction(NamedTuple):
    """One operation of `fr_op`."""

    op: str
    to: Value = NONE
    x: Value = NONE
    y: Value = NONE
    z: Value = NONE
    constant: float = 0.0


class Sum(NamedTuple):
    """A product, or the sum of two: `fr_sum`."""

    x: int = -1
    h: int = -1
    matrix: int = -1
    operand: int = -1


class RowValue(NamedTuple):
    """A number of a row: `fr_row_value`."""

    partial: int
    saved: int
    rstd: bool = False
    eps: float = 0.0


class Phase(NamedTuple):
    """One phase: `fr_phase`."""

    sums: list[Sum]
    code: list[Instruction]
    row_values: list[RowValue]
    meet: bool
    narrow: bool


@dataclass
class Code:
    """One direction of a step: `fr_code`."""

    phases: list[Phase] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    constants: list[float] = field(default_factory=list)
    registers: int = 0
    carried: int = 0
    partial: int = 0


class Run(NamedTuple):
    """Gates that lie one after another in Wh and in a chunk: `fr_run`."""

    first: int
    gates: int
    chunk: int


class Compiled(NamedTuple):
    """The codes, and what they agree on.

    Attributes
    ----------
    inference, forward, backward : Code
        The first one leaves no tape.
    tape, row_tape : int
        Vectors and row values that a step keeps.
    chunk : int
        Gates of a chunk: those of x, those of h alone, the gradients of products and of vectors.
    runs : list of Run
        The gates that h meets.
    matrices, vectors : list of int
        The gate of each in a chunk.
    """

    inference: Code
    forward: Code
    backward: Code
    tape: int
    row_tape: int
    chunk: int
    runs: list[Run]
    matrices: list[int]
    vectors: list[int]


class Operand(NamedTuple):
    """What meets the gradient of a product in that of its matrix."""

    matrix: int


class Root(NamedTuple):
    """A node that a code must store, and where.

    Attributes
    ----------
    node : int
        The node.
    place : Place, Operand or str
        Where; a str is the operation that puts it there.
    last : bool
        Whether to store in the last phase, because what lies there is read before.
    narrow : bool or None
        Whether it is as wide as a projected h; None: as the node is. A constant has any width.
    """

    node: int
    place: Place | Operand | str
    last: bool = False
    narrow: bool | None = None


def number_in(found: list[T], item: T) -> int:
    """Return where an item stands in a list, at its end if it is new."""
    if item not in found:
        found.append(item)
    return found.index(item)
