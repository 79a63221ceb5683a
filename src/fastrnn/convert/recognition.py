"""Which variant of a built-in cell a program is: the inverse of `variants.Variant.cell`.

The step of a variant is traced into the graph of the cell's program, where nothing stands twice. It
is that variant if its new states are the cell's. An activation is looked for before that, at its
argument: among all activations with the cell's constants those whose value is in the program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastrnn._cells import CELLS, Cell
from fastrnn._program import Program
from fastrnn.cell.graph import Graph
from fastrnn.cell.trace import Trace, traced
from fastrnn.convert.variants import LIBRARY, Activation, Variant, base_of

MOST_NUMBERS = 12
"""A variant has at most these constants: six parameters, two limits, four of the activations."""

Candidates = Callable[[Iterable[float]], Iterable[Activation]]
"""Makes the activations that a library has with these numbers as parameters."""


def variant_of(cell: Cell, candidates: Candidates) -> Variant | None:
    """Return the variant that computes what a defined cell does, or None if there is none."""
    base, program = base_of(cell), cell.program
    if base is None or program is None:
        return None
    numbers = sorted({node.number for node in program.nodes if node.op == "const"})
    if len(numbers) > MOST_NUMBERS:
        return None
    form = Variant(
        base.name,
        (),
        peepholes="p_o" in cell.weights,
        coupled="f" not in cell.gates and "f" in base.gates,
        reset_after="Un" not in cell.weights,
    )
    limits = [None, *(number for number in numbers if number > 0 and -number in numbers)]
    known = [*candidates({*numbers, -1.0, 0.0, 1.0})]
    fitting = (v for limit in limits for v in _fitting(form._replace(limit=limit), program, known))
    return next((v for v in (*LIBRARY, *fitting) if _is(cell, v.cell)), None)


def _is(cell: Cell, other: Cell) -> bool:
    """Return whether two defined cells compute the same, operation by operation."""
    ours, theirs = cell.program, other.program
    if ours is None or theirs is None or cell.states != other.states:
        return False
    numbers = Graph(ours.nodes).extend(theirs.nodes)
    same = tuple(numbers[output] for output in theirs.outputs) == ours.outputs
    return same and ours.projection == theirs.projection


def _fitting(variant: Variant, program: Program, known: Sequence[Activation]) -> Iterator[Variant]:
    """Yield the variant with all activations, if it has the first ones."""
    missing = len(next(iter(CELLS[variant.name].activations))) - len(variant.activations)
    if not missing:
        yield variant
        return
    for each in _standing(variant, missing, program, known):
        longer = variant._replace(activations=(*variant.activations, each))
        yield from _fitting(longer, program, known)


def _standing(
    variant: Variant, missing: int, program: Program, known: Sequence[Activation]
) -> list[Activation]:
    """Return the activations whose value is in the program at the argument of the next one."""
    trace, count = Trace(variant.name, program.nodes), len(program.nodes)
    arguments: list[Any] = []

    def record(v: Any) -> Any:
        arguments.append(v)
        return v

    def stands(value: Any) -> bool:
        number = trace.node(value)
        node = trace.graph.nodes[number]  # a change of sign may go into what follows
        return number < count or (node.op == "neg" and node.args[0] < count)

    activations = (*variant.activations, *[Activation(record)] * missing)
    step = variant._replace(activations=activations).step()
    traced(trace, step, variant.gates, CELLS[variant.name].states, variant.weights)
    with trace.running():
        return [each for each in known if stands(each(arguments[0]))]
