"""The recurrent cells of `fastrnn.ops`: over time, their gradients, and one step."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from digests.record import Array, Cases, Draw
from fastrnn import ops

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
VARIANTS = ("rnn_tanh", "rnn_relu", "lstm", "gru_after", "gru_before")
# N, T, D, H: below the work of a second thread.
SMALL = [
    (1, 1, 3, 1),
    (2, 0, 3, 5),
    (3, 5, 4, 7),
    (5, 12, 9, 17),
    (1, 9, 21, 33),
    (20, 6, 13, 19),
    (7, 11, 16, 40),
    (8, 10, 30, 64),
]
# By gates: enough work for threads; weights of 0.5 to 1 MiB and above 1 MiB in float32, of which x
# is projected ahead of the loop, in few and in many rows; several chunks of gradients.
LARGE = {
    1: [
        (16, 30, 100, 96),
        (5, 12, 300, 340),
        (1, 40, 420, 450),
        (33, 6, 300, 510),
        (64, 60, 37, 300),
    ],
    3: [
        (16, 20, 100, 96),
        (5, 9, 130, 181),
        (1, 20, 260, 290),
        (33, 6, 150, 299),
        (64, 60, 37, 128),
    ],
    4: [
        (16, 20, 100, 96),
        (5, 9, 130, 151),
        (1, 20, 200, 261),
        (33, 6, 120, 259),
        (64, 60, 37, 128),
    ],
}
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ragged": {"lengths": True},
    "reverse": {"reverse": True},
    "all": {"lengths": True, "reverse": True, "drop_h": True},
    "dropped": {"drop_h": True},
}


def cases() -> Cases:
    for variant in VARIANTS:
        for size in SMALL:
            name = "x".join(map(str, size))
            for form in FORMS:
                run = partial(_over_time, variant=variant, size=size, form=form)
                yield f"{variant}/{name}/{form}", run
            yield f"{variant}/{name}/zeros", partial(_of_zeros, variant=variant, size=size)
            yield f"{variant}/{name}/strided", partial(_strided, variant=variant, size=size)
        for index, size in enumerate(LARGE[GATES[variant.partition("_")[0]]]):
            form = "plain" if index % 2 else "all"
            name = "x".join(map(str, size))
            run = partial(_over_time, variant=variant, size=size, form=form)
            yield f"{variant}/{name}/{form}", run


def cell_weights(draw: Draw, variant: str, D: int, H: int) -> list[Array | None]:
    """Wx, Wh, b and for a GRU bh."""
    cell = variant.partition("_")[0]
    G = GATES[cell] * H
    weights: list[Array | None] = [draw.weights(D, G), draw.weights(H, G), draw.weights(G)]
    if cell == "gru":
        weights.append(draw.weights(H) if variant == "gru_after" else None)
    return weights


def states_of(draw: Draw, variant: str, *shape: int) -> list[Array]:
    return [draw.normal(*shape, scale=0.7) for _ in range(2 if variant == "lstm" else 1)]


def functions(variant: str) -> tuple[str, dict[str, str]]:
    """The name of the functions of a variant, and their options."""
    cell, _, option = variant.partition("_")
    return cell, {"nonlinearity": option} if cell == "rnn" else {}


def _over_time(draw: Draw, variant: str, size: tuple[int, ...], form: str) -> Any:
    N, T, D, H = size
    cell, options = functions(variant)
    weights, states = cell_weights(draw, variant, D, H), states_of(draw, variant, N, H)
    x, dy, dstates = draw.normal(N, T, D), draw.normal(N, T, H), states_of(draw, variant, N, H)
    wanted = FORMS[form]
    options |= {
        "lengths": draw.lengths(N, T) if "lengths" in wanted else None,
        "reverse": "reverse" in wanted,
    }
    drop_h = draw.drop(N, H) if "drop_h" in wanted else None
    *results, stash = getattr(ops, f"{cell}_forward")(
        x, *states, *weights, **options, drop_h=drop_h
    )
    return {
        "inference": getattr(ops, cell)(x, *states, *weights, **options),
        "forward": results,
        "backward": getattr(ops, f"{cell}_backward")(dy, *dstates, stash),
    }


def _of_zeros(draw: Draw, variant: str, size: tuple[int, ...]) -> Any:
    """Initial states and gradients that are left out."""
    N, T, D, H = size
    cell, options = functions(variant)
    weights, dstates = cell_weights(draw, variant, D, H), states_of(draw, variant, N, H)
    none = [None] * len(dstates)
    x, dy = draw.normal(N, T, D), draw.normal(N, T, H)
    *results, stash = getattr(ops, f"{cell}_forward")(x, *none, *weights, **options)
    backward = getattr(ops, f"{cell}_backward")
    return results, backward(None, *dstates, stash), backward(dy, *none, stash)


def _strided(draw: Draw, variant: str, size: tuple[int, ...]) -> Any:
    """Weights that lie by columns, x by time and in the other byte order; and single steps."""
    N, T, D, H = size
    cell, options = functions(variant)
    weights, states = cell_weights(draw, variant, D, H), states_of(draw, variant, N, H)
    turned = [None if W is None else np.asfortranarray(W) for W in weights]
    x, dy = draw.normal(T, N, D).swapaxes(0, 1), draw.normal(T, N, H).swapaxes(0, 1)
    swapped = x.astype(x.dtype.newbyteorder())
    *results, stash = getattr(ops, f"{cell}_forward")(swapped, *states, *turned, **options)
    step = getattr(ops, f"{cell}_step")
    rows = draw.normal(N, D)
    return {
        "inference": getattr(ops, cell)(x, *states, *turned, **options),
        "forward": results,
        "backward": getattr(ops, f"{cell}_backward")(dy, *states, stash),
        "step": [step(rows, *states, *W, **options) for W in (weights, turned)],
    }
