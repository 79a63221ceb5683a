"""Random problems for defined cells, and random cells with an evaluation of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn import cell as words
from fastrnn._cells import NO_OPTIONS, Cell
from fastrnn.cell.library import NAMES, named
from fastrnn.cell.library.zoneout_lstm import zoneout_lstm
from support.numeric import Array
from support.problems import RecurrentProblem

LIBRARY: dict[str, Cell] = {cell.title: cell for cell in map(named, NAMES)} | {
    "ZoneoutLSTM": zoneout_lstm(0.3, 0.4)
}
"""Every cell of the library by the name of its layer."""


def program_problem(
    cell: Cell,
    rng: np.random.Generator,
    *,
    N: int = 4,
    T: int = 5,
    D: int = 3,
    H: int = 4,
    P: int = 2,
    dtype: Any = np.float64,
) -> RecurrentProblem:
    """A random problem for a defined cell; P counts where it projects h."""
    P = H if cell.projection is None else P

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * rng.standard_normal(shape)).astype(dtype)

    widths = {state: H for state in cell.states} | {"h": P}
    states = {f"{state}0": normal(N, width) for state, width in widths.items()}
    if "n" in cell.states:  # a normalizer is positive
        states["n0"] = np.abs(states["n0"]) + dtype(0.5)
    masks = [rng.random((1, N, T, H)) < p for p in cell.keeps]
    return RecurrentProblem(
        cell=cell,
        x=normal(N, T, D),
        states=states,
        weights={
            name: normal(*shape, scale=1 / shape[0] ** 0.5 if len(shape) == 2 else 1)
            for name, shape in cell.shapes(D, H, P).items()
        },
        masks=np.stack(masks, axis=1).view(np.uint8) if masks else None,
        dy=normal(N, T, P),
        options=NO_OPTIONS,
        dstates={f"d{state}": normal(N, width) for state, width in widths.items()},
    )


def _mean(v: Array) -> Array:
    return np.broadcast_to(v.mean(axis=1, keepdims=True), v.shape)


def _layer_norm(v: Array) -> Array:
    return (v - v.mean(axis=1, keepdims=True)) / np.sqrt(v.var(axis=1, keepdims=True) + 0.1)


def _sigmoid(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


# What the language writes, and what NumPy computes; values are kept where every word is smooth
# enough and defined.
UNARY: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = (
    (words.sigmoid, _sigmoid),
    (words.tanh, np.tanh),
    (words.relu, lambda v: np.where(v > 0, v, 0)),
    (lambda v: words.hard_sigmoid(v, 0.3, 0.4), lambda v: np.clip(0.3 * v + 0.4, 0, 1)),
    (words.leaky_relu, lambda v: np.where(v > 0, v, 0.01 * v)),
    (lambda v: words.elu(v, 0.7), lambda v: np.where(v > 0, v, 0.7 * np.expm1(np.minimum(v, 0)))),
    (words.softsign, lambda v: v / (1 + np.abs(v))),
    (words.softplus, lambda v: np.logaddexp(v, 0)),
    (lambda v: words.exp(words.tanh(v)), lambda v: np.exp(np.tanh(v))),
    (lambda v: words.log(1.5 + words.abs(v)), lambda v: np.log(1.5 + np.abs(v))),
    (lambda v: words.sqrt(0.5 + v * v), lambda v: np.sqrt(0.5 + v**2)),
    (lambda v: words.clip(v, -0.6, 0.7), lambda v: np.clip(v, -0.6, 0.7)),
    (lambda v: -v, lambda v: -v),
    (lambda v: 2 - v / 3, lambda v: 2 - v / 3),
    (lambda v: 1 / (2 + words.abs(v)), lambda v: 1 / (2 + np.abs(v))),
    (lambda v: words.tanh(v) ** 3, lambda v: np.tanh(v) ** 3),
    (words.mean, _mean),
    (lambda v: words.layer_norm(v, eps=0.1), _layer_norm),
)
BINARY: tuple[tuple[Callable[..., Any], Callable[..., Any]], ...] = (
    (lambda u, v: u + v, np.add),
    (lambda u, v: u - v, np.subtract),
    (lambda u, v: words.tanh(u) * v, lambda u, v: np.tanh(u) * v),
    (lambda u, v: u / (1 + v * v), lambda u, v: u / (1 + v * v)),
    (words.maximum, np.maximum),
    (words.minimum, np.minimum),
    (lambda u, v: (u > v) * u, lambda u, v: np.where(u > v, u, 0)),
    (lambda u, v: words.where(u <= v, u, 0.5 * v), lambda u, v: np.where(u <= v, u, 0.5 * v)),
)


@dataclass
class RandomCell:
    """A random cell with the gates f and n, the states h and c and the vector p.

    `recipe` has for each operation what the language writes, what NumPy computes from all inputs
    and the arguments, and which values are the arguments.
    """

    recipe: list[tuple[Callable[..., Any], Callable[..., Any], tuple[int, ...]]]
    apart: bool  # whether the two sums of n are used apart

    def define(self) -> Cell:
        """Write the cell in the language."""

        def random(a: Any, s: Any, w: Any) -> dict[str, Any]:
            values = [a.f, s.h, s.c, w.p, *((a.x.n, a.h.n) if self.apart else (a.n,))]
            for write, _, args in self.recipe:
                values.append(write(*(values[i] for i in args)))
            return self.states(values, words.tanh, words.sigmoid)

        return words.define(gates="f n", states="h c", weights="p")(random)

    def compute(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Compute the new states from ``x_f``, ``h_f``, ``h``, ``c``, ``p`` and so on."""
        p, n = np.broadcast_to(inputs["p"], inputs["c"].shape), (inputs["x_n"], inputs["h_n"])
        values = [inputs["x_f"] + inputs["h_f"], inputs["h"], inputs["c"], p]
        values += n if self.apart else [n[0] + n[1]]
        for _, numpy, args in self.recipe:
            values.append(numpy(inputs, *(values[i] for i in args)))
        return self.states(values, np.tanh, _sigmoid)

    def states(self, values: list[Any], tanh: Any, sigmoid: Any) -> dict[str, Any]:
        """The new states: every input is used, whatever the operations are."""
        h = tanh(values[-1] + 0.5 * values[4] + (values[5] if self.apart else 0))
        return {"h": h, "c": 0.5 * tanh(values[-2]) + values[3] * sigmoid(values[0])}


def random_cell(rng: np.random.Generator, operations: int) -> RandomCell:
    """A random cell of so many operations, of every word but `project`."""
    apart = bool(rng.integers(2))
    recipe: list[Any] = []
    matrices = keeps = 0
    for index in range(operations):
        kind, count = rng.random(), 5 + apart + index
        args = tuple(int(i) for i in rng.integers(count, size=1 if kind < 0.55 else 2))
        if kind < 0.06:
            recipe.append((*_product(f"U{matrices}"), args))
            matrices += 1
        elif kind < 0.12:
            recipe.append((*_kept(keeps), args))
            keeps += 1
        else:
            table = UNARY if len(args) == 1 else BINARY
            write, numpy = table[rng.integers(len(table))]
            recipe.append((write, _without_inputs(numpy), args))
    return RandomCell(recipe, apart)


def _product(name: str) -> tuple[Any, Any]:
    return lambda v: words.matmul(v, name), lambda inputs, v: v @ inputs[name]


def _kept(index: int) -> tuple[Any, Any]:
    p = kept(index)
    return lambda v: words.keep(v, p), lambda inputs, v: v * inputs["keeps"][p]


def kept(index: int) -> float:
    """The probability of a random cell's keep, by which it is known: those in vain vanish."""
    return 0.7 + 0.01 * index


def _without_inputs(numpy: Callable[..., Any]) -> Callable[..., Any]:
    return lambda inputs, *args: numpy(*args)
