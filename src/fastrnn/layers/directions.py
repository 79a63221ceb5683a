"""One layer of a recurrent cell in its directions: each has its part of the outputs' last axis.

States and their gradients are arrays (directions, N, H). The first direction walks forward in time,
the second in reverse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fastrnn._check import Array
from fastrnn.ops._recurrent import Cell


def layer_forward(
    cell: Cell,
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Sequence[Array | None]],
    options: Mapping[str, str],
    *,
    y: Array,
    final: Sequence[Array],
    train: bool,
    lengths: Array | None,
    num_threads: int | None,
    backend: str | None = None,
    drops: Sequence[Array] | None = None,
    embedding: Array | None = None,
) -> list[Any]:
    """Run each direction on its weights; fill `y` and `final`, return the stashes.

    With an `embedding` x are the numbers of its rows, and its gradient stands for that of x in the
    backward. `drops` are the factors (N, H) of h in each direction, where it meets its weights.
    """
    calls = [
        partial(
            cell.forward,
            x,
            [state[index] for state in states],
            weights[index],
            options,
            train=train,
            lengths=lengths,
            reverse=index == 1,
            backend=backend,
            out=part,
            drop_h=None if drops is None else drops[index],
            embedding=embedding,
        )
        for index, part in enumerate(_parts(y, len(weights)))
    ]
    N, T, width = y.shape
    D = (x if embedding is None else embedding).shape[-1]
    work = cell.work(N, T, D, width // len(weights))
    stashes = []
    for index, (_, last, stash) in enumerate(cell.directions(calls, work, num_threads, backend)):
        stashes.append(stash)
        for array, value in zip(final, last, strict=True):
            array[index] = value
    return stashes


def layer_backward(
    cell: Cell,
    dy: Array,
    dfinal: Sequence[Array],
    stashes: Sequence[Any],
    *,
    input_size: int,
    dinitial: Sequence[Array],
    num_threads: int | None,
) -> tuple[Array, list[list[Any]]]:
    """Fill `dinitial`; return dx and, for each direction, the gradients of its weights."""
    calls = [
        partial(cell.backward, part, [state[index] for state in dfinal], stashes[index])
        for index, part in enumerate(_parts(dy, len(stashes)))
    ]
    N, T, width = dy.shape
    work = 2 * cell.work(N, T, input_size, width // len(stashes))
    dx: Any = None
    grads = []
    for index, (one, *rest) in enumerate(
        cell.directions(calls, work, num_threads, stashes[0].backend)
    ):
        dx = one if dx is None else np.add(dx, one, out=dx)
        for array in dinitial:
            array[index] = rest.pop(0)
        grads.append(rest)
    return dx, grads


def _parts(y: Array, directions: int) -> Iterator[Array]:
    """Yield each direction's part of the last axis."""
    H = y.shape[-1] // directions
    for direction in range(directions):
        yield y[..., direction * H : (direction + 1) * H]
