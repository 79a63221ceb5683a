"""Random cells on top of each other, as frozen layers have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from support.problems import RecurrentProblem, recurrent_problem


def random_stack(
    variant: str,
    rng: np.random.Generator,
    *,
    N: int,
    T: int,
    D: int,
    H: int,
    layers: int,
    directions: int,
    dtype: Any,
) -> tuple[list[RecurrentProblem], Any]:
    """Problems layer by layer, in each the forward direction first, and a state for all of them."""
    sizes: dict[str, Any] = {"N": N, "T": T, "H": H, "dtype": dtype}
    problems: list[RecurrentProblem] = []
    for _ in range(layers):
        problems += [recurrent_problem(variant, rng, D=D, **sizes) for _ in range(directions)]
        D = directions * problems[0].dy.shape[2]
    first = problems[0].states.values()
    state = tuple(np.stack([part + i for i in range(len(problems))]) for part in first)
    return problems, state if len(state) > 1 else state[0]
