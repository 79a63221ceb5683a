"""Random decoders for the tests of decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._cells import CELLS as ROWS
from fastrnn.ops import DecoderWeights
from support.numeric import random_lengths

BEFORE = "_before"
CELLS = (*ROWS, *(cell.name + BEFORE for cell in ROWS.values() if cell.split_bias))
CONTEXTS = (None, "output", "input_feeding", "input")
END = 2


def random_decoder(
    rng: np.random.Generator,
    cell: str = "lstm",
    context: str | None = "output",
    *,
    score: str = "general",
    readout: bool = False,
    residual: bool = False,
    N: int = 4,
    S: int = 5,
    V: int = 7,
    L: int = 2,
    H: int = 5,
    P: int = 0,
    dtype: Any = np.float64,
) -> tuple[DecoderWeights, list[Any], dict[str, Any]]:
    """Weights, states and the other arguments that say what is decoded."""

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    E, R, M = 3, 4, H if score in ("dot", "scaled_dot") else 6
    F = H if context is None else M + H
    pair = None
    if readout and context is not None:
        pair, F = (normal(F, R), normal(R)), R
    D = E + P + {"input_feeding": F, "input": M}.get(context or "", 0)
    row = ROWS[cell.removesuffix(BEFORE)]
    cells = []
    for _ in range(L):
        shapes_of = row.shapes(D, H)
        if cell.endswith(BEFORE):
            del shapes_of["bh"]
        arrays = {name: normal(*shape) for name, shape in shapes_of.items()}
        cells.append(tuple(arrays.get(name) for name in row.weights))
        D = H
    shapes: dict[str, list[tuple[int, ...]]] = {
        "general": [(H, M)],
        "additive": [(H, 3), (M, 3), (3,)],
        "multi_head": [(H, 6), (M, 6), (M, 6), (6, M)],
    }
    weights = DecoderWeights(
        embedding=normal(V, E),
        cell=row.name,
        cells=cells,
        output=(2 * normal(F + P, V), normal(V)),
        context=context,
        score=score,
        num_heads=2 if score == "multi_head" and context is not None else 1,
        weights=[normal(*shape) for shape in shapes.get(score, [])] if context is not None else (),
        readout=pair,
        residual=residual,
    )
    states = [normal(L, N, H) for _ in range(len(row.states))]
    given: dict[str, Any] = {"constant": normal(N, P)} if P else {}
    if context is not None:
        given |= {"memory": normal(N, S, M), "lengths": random_lengths(rng, N, S)}
    return weights, states, given


def some(states: list[Any], given: dict[str, Any], which: Any) -> tuple[list[Any], dict[str, Any]]:
    """What is decoded, for some of the sentences."""
    return [state[:, which] for state in states], {k: array[which] for k, array in given.items()}
