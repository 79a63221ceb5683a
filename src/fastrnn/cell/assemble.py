"""From the operations of a cell, written or read, to the cell: checks, and its program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastrnn._cells import Cell
from fastrnn._program import Node, Program
from fastrnn.cell.differentiate import differentiated
from fastrnn.cell.graph import Graph, alive
from fastrnn.cell.liveness import LIMIT, live_values

LONGEST_NAME = 64
MOST_NAMES = {"gate": 64, "state": 8, "weight": 64}
RESERVED = {"gate": ("x", "h"), "state": (), "weight": ("Wx", "Wh", "b")}


@dataclass(frozen=True)
class Declared:
    """What a cell declares beside its function."""

    name: str
    title: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    vectors: tuple[str, ...]
    open_gates: tuple[str, ...] = ()
    initial: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ValueError unless the names are fit."""
        check_name(self.name, "name of a cell", self.name)
        if not (self.title.isprintable() and 0 < len(self.title) <= LONGEST_NAME):
            wanted = f"1 to {LONGEST_NAME} printable letters"
            raise ValueError(f"{self.name}: title must have {wanted}, got {self.title!r:.70}")
        for what, names in (
            ("gate", self.gates),
            ("state", self.states),
            ("weight", self.vectors),
        ):
            if len(names) > MOST_NAMES[what]:
                text = f"there must be at most {MOST_NAMES[what]} {what}s, got {len(names)}"
                raise ValueError(f"{self.name}: {text}")
            for name in names:
                self.check_name(what, name)
            self.check_distinct(what, names)
        if self.states[:1] != ("h",):
            came = ", ".join(self.states) or "none"
            raise ValueError(f"{self.name}: the first state must be 'h', got {came}")
        self.check_known("open_gates", self.open_gates, "gate", self.gates)
        self.check_known("initial", self.initial, "weight", self.vectors)

    def check_name(self, what: str, name: str) -> None:
        """Raise ValueError unless a gate, state or weight may have this name."""
        check_name(self.name, f"name of a {what}", name)
        if name in RESERVED[what] or (what == "weight" and name in (*self.gates, *self.states)):
            raise ValueError(f"{self.name}: a {what} cannot be called {name!r}, which is taken")

    def check_distinct(self, what: str, names: Sequence[str]) -> None:
        """Raise ValueError if a name stands twice."""
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{self.name}: the {what} {name!r} stands twice")

    def check_known(
        self, argument: str, names: Sequence[str] | Mapping[str, float], what: str, known: object
    ) -> None:
        """Raise ValueError unless what an argument names is declared."""
        for name in names:
            if name not in known:  # type: ignore[operator]
                raise ValueError(f"{self.name}: {argument} names {name!r}, which is no {what}")


def check_name(owner: str, what: str, name: str) -> None:
    """Raise ValueError unless a name is a short ASCII identifier that begins with a letter."""
    fit = name.isascii() and name.isidentifier() and name[:1] != "_" and len(name) <= LONGEST_NAME
    if not fit:
        wanted = f"an ASCII identifier of at most {LONGEST_NAME} letters"
        came = name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "..."
        raise ValueError(f"{owner[:LONGEST_NAME]}: the {what} must be {wanted}, got {came!r}")


def assembled(
    declared: Declared, nodes: Sequence[Node], outputs: Mapping[str, int], projection: str | None
) -> Cell:
    """Return the cell of these operations; raise ValueError where they do not make one."""
    owner, states = declared.name, declared.states
    if missing := [state for state in states if state not in outputs]:
        raise ValueError(f"{owner}: the function returns no {', '.join(missing)}")
    if surplus := [str(name) for name in outputs if name not in states]:
        raise ValueError(f"{owner}: the function returns {surplus[0]!r}, which is no state")
    graph, roots = _joined(nodes, [outputs[state] for state in states])
    kept = graph.nodes
    _check_used(declared, kept)
    matmuls = [node.name for node in kept if node.op == "matmul"]
    for name in matmuls:
        declared.check_name("weight", name)
    declared.check_distinct("weight", [*declared.vectors, *matmuls])
    if len(matmuls) > MOST_NAMES["weight"]:
        raise ValueError(
            f"{owner}: there must be at most {MOST_NAMES['weight']} products in a step"
        )
    projection = projection if projection in matmuls else None
    _check_widths(owner, kept, roots, projection)
    backward, gradients = differentiated(kept, roots, states, declared.vectors)
    program = Program(
        nodes=tuple(kept),
        outputs=tuple(roots),
        backward=backward,
        gradients=gradients,
        vectors=declared.vectors,
        matrices=tuple(name for name in matmuls if name != projection),
        projection=projection,
    )
    if (most := live_values(program)) > LIMIT:
        raise ValueError(f"{owner}: {most} values are needed at once, at most {LIMIT} may be")
    return Cell(
        owner,
        declared.title,
        gates=declared.gates,
        states=states,
        open_gates=declared.open_gates,
        initial=dict(declared.initial),
        program=program,
    )


def _joined(nodes: Sequence[Node], roots: Sequence[int]) -> tuple[Graph, list[int]]:
    """Return the nodes on which the roots depend, and the roots among them.

    The sum of a gate whose two sums are used apart, too, becomes their sum.
    """
    kept = alive(nodes, roots)
    split = {nodes[i].name for i in kept if nodes[i].op in ("sum_x", "sum_h")}
    graph, numbers, keeps = Graph(), {}, 0
    for i in kept:
        node = nodes[i]
        if node.op == "sum" and node.name in split:
            parts = [graph.add(op, name=node.name) for op in ("sum_x", "sum_h")]
            numbers[i] = graph.add("add", *parts)
            continue
        name = node.name
        if node.op == "keep":
            name, keeps = str(keeps), keeps + 1
        args = (numbers[arg] for arg in node.args)
        numbers[i] = graph.add(node.op, *args, name=name, number=node.number)
    return graph, [numbers[root] for root in roots]


def _check_used(declared: Declared, nodes: Sequence[Node]) -> None:
    """Raise ValueError if a gate or a vector is declared in vain, or x is not used."""
    used = {(node.op[:3], node.name) for node in nodes}
    for gate in declared.gates:
        if ("sum", gate) not in used:
            raise ValueError(f"{declared.name}: the gate {gate!r} is never used")
    for name in declared.vectors:
        if ("vec", name) not in used:
            raise ValueError(f"{declared.name}: the weight {name!r} is never used")
    biased = {node.name for node in nodes if node.op in ("sum", "sum_x")}
    if not biased:
        raise ValueError(f"{declared.name}: no gate has a sum with x")
    declared.check_known("open_gates", declared.open_gates, "gate with a bias", biased)


def _check_widths(
    owner: str, nodes: Sequence[Node], outputs: Sequence[int], projection: str | None
) -> None:
    """Raise ValueError where values of H and of P units meet, or a state has the wrong one."""
    widths: list[str] = []  # of each node: "H", "P" or, for a constant, ""
    h_width = "H" if projection is None else "P"
    for node in nodes:
        given = {widths[arg] for arg in node.args} - {""}
        width = "" if node.op == "const" else "H"
        if node.op == "state" and node.name == "h":
            width = h_width
        elif node.op in ("matmul", "mean", "rstd", "keep"):
            if given != {"H"}:
                came = "P, as h is projected," if given else "one number"
                raise ValueError(f"{owner}: {node.op} needs values of H units, {came} came")
            width = h_width if node.op == "matmul" and node.name == projection else "H"
        elif node.args:
            if len(given) > 1:
                raise ValueError(
                    f"{owner}: h is projected to P units, {node.op} cannot join it with H units"
                )
            width = given.pop() if given else ""
        widths.append(width)
    for index, output in enumerate(outputs):
        wanted = h_width if index == 0 else "H"
        if widths[output] not in ("", wanted):
            which = "h, which is projected," if index == 0 else "a state other than h"
            raise ValueError(f"{owner}: {which} must have {wanted} units, got {widths[output]}")
