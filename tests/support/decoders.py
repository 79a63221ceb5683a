"""Random decoders for the tests of decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import ops
from fastrnn._cells import CELLS as ROWS
from fastrnn.ops import DecoderWeights
from support.numeric import random_lengths

BEFORE = "_before"
CELLS = (*ROWS, *(cell.name + BEFORE for cell in ROWS.values() if cell.split_bias))
CONTEXTS = (None, "output", "input_feeding", "input")
END = 2
MODES = {
    "greedy": (ops.decode_greedy, {}),
    "sample": (ops.decode_sample, {"temperature": 1.3, "top_k": 5, "top_p": 0.9, "seed": 4}),
    "plain sample": (ops.decode_sample, {"temperature": 0.8, "seed": 5}),
    "beam": (
        ops.decode_beam,
        {"beam_size": 4, "n_best": 3, "length_penalty": 0.7, "coverage_penalty": 0.2},
    ),
    "plain beam": (ops.decode_beam, {"beam_size": 3, "n_best": 3}),
}


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


def decode(mode: str, problem: Any, **options: Any) -> list[list[Any]]:
    """The results of a mode, a list of tuples (tokens, numbers, attention) for each sentence."""
    weights, states, given = problem
    function, defaults = MODES[mode]
    options = {"max_length": 9, "end": END} | defaults | options
    if weights.context is None:
        options.pop("coverage_penalty", None)
    options["return_attention"] = weights.context is not None
    found = function(weights, states, **given, **options)
    if isinstance(found, list):
        return [
            [(r.tokens, [r.score, r.log_probability, r.finished], r.attention) for r in results]
            for results in found
        ]
    return [
        [
            (
                found.tokens[n, :length],
                [found.log_probability[n]],
                None if found.attention is None else found.attention[n, :length],
            )
        ]
        for n, length in enumerate(found.lengths)
    ]


def assert_same(actual: Any, wanted: Any, tolerance: float) -> None:
    """Equal tokens; numbers within the tolerance.

    A state that has come to rest makes the place of a token indifferent: then rounding chooses.
    """
    for results, expected in zip(actual, wanted, strict=True):
        for (tokens, numbers, attention), (other, others, other_attention) in zip(
            results, expected, strict=True
        ):
            np.testing.assert_allclose(numbers, others, tolerance, tolerance)
            if not np.array_equal(tokens, other):
                np.testing.assert_array_equal(np.sort(tokens), np.sort(other))
                np.testing.assert_allclose(numbers, others, 1e-12, 1e-12)
                continue
            if attention is not None:
                assert attention.dtype == other_attention.dtype
                np.testing.assert_allclose(attention, other_attention, tolerance, tolerance)
