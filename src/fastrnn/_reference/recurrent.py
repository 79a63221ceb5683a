"""A layer of any recurrent cell, in its directions: the time loop that all cells share.

A cell is the file of its name, or `program.py`, which has two functions: ``step`` makes the states
after a step of those before, ``step_backward`` their gradients the other way. Each direction has
its own weights and states, and its own columns of y.

Shapes: x (N, T, D), or with an embedding (V, D) the numbers (N, T) of its rows; y (N, T, K*P) for
K directions; h and drop_h (K, N, P), other states (K, N, H), where P is H unless h is projected;
masks (K, keeps, N, T, H); weights as `Cell.shapes` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastrnn._cells import Cell, Options

from . import program
from .embedding import embedding_backward, embedding_forward
from .sequence import add_to, rows_of, steps, zeros_of
from .textbook import from_textbook, to_textbook
from .types import Array, Stash, Weights


def recurrent_forward(
    cell: Cell,
    x: Array,
    states: Sequence[Array],
    weights: Sequence[Weights],
    *,
    options: Options,
    reverse: Sequence[bool],
    lengths: Array | None,
    train: bool,
    drop_h: Array | None = None,
    embedding: Array | None = None,
    out: Array | None = None,
    masks: Array | None = None,
    num_threads: int | None = None,
) -> tuple[Array, list[Array], Stash | None]:
    """Return all h as y, in `out` if given, the final states, and what the backward needs."""
    step = equations(cell).step
    weights, known = _defined(cell, weights, options)
    inputs = x if embedding is None else embedding_forward(x, embedding)
    (N, T, _), (K, _, P) = inputs.shape, states[0].shape
    y = np.empty((N, T, K * P), inputs.dtype) if out is None else out
    y[...] = 0
    finals, tapes = [state.copy() for state in states], []
    for k, y_k in enumerate(np.split(y, K, axis=2)):
        drop_k = None if drop_h is None else drop_h[k]
        own = [final[k] for final in finals]
        tape = []
        for t, rows in steps(inputs, lengths, reverse[k]):
            before, drop = [state[rows] for state in own], rows_of(drop_k, rows)
            if masks is not None:
                known["masks"] = masks[k][:, rows, t]
            after, saved = step(inputs[rows, t], before, weights[k], drop, **known)
            y_k[rows, t] = after[0]
            for state, new in zip(own, after, strict=True):
                state[rows] = new
            if train:
                tape.append((t, rows, saved))
        tapes.append(tape)
    looked_up = None if embedding is None else (x.copy(), len(embedding))
    return y, finals, (inputs.shape, looked_up, weights, options, tapes) if train else None


def recurrent_backward(
    cell: Cell, dy: Array, dstates: Sequence[Array], stash: Stash, *, num_threads: int | None = None
) -> tuple[Array, list[Array], list[Weights]]:
    """Return ``(dx, dstates0, dweights)``: backpropagation through time (Werbos 1990).

    With an embedding, its gradient stands in the place of dx.
    """
    step_backward = equations(cell).step_backward
    shape, looked_up, weights, options, tapes = stash
    dstates0, dinputs, dweights = [dstate.copy() for dstate in dstates], [], []
    for k, dy_k in enumerate(np.split(dy, len(tapes), axis=2)):
        dx, totals = np.zeros(shape, dy.dtype), zeros_of(weights[k])
        own = [dstate[k] for dstate in dstates0]
        for t, rows, saved in reversed(tapes[k]):
            dh, *others = (dstate[rows] for dstate in own)
            dx[rows, t], before, parts = step_backward((dh + dy_k[rows, t], *others), saved)
            for dstate, new in zip(own, before, strict=True):
                dstate[rows] = new
            add_to(totals, parts)
        dinputs.append(dx)
        dweights.append(to_textbook(cell, totals) if options.get("textbook") else totals)
    dx = reduce(np.add, dinputs)
    if looked_up is not None:
        ids, V = looked_up
        dx = embedding_backward(dx.reshape(ids.size, shape[2]), ids.ravel(), V)
    return dx, dstates0, dweights


def recurrent_step(
    cell: Cell, x: Array, states: Sequence[Array], weights: Weights, *, options: Options
) -> tuple[Array, ...]:
    """Return the states of one cell, each (N, ...), after one more input, x (N, D)."""
    (weights,), known = _defined(cell, [weights], options)
    after: tuple[Array, ...] = equations(cell).step(x, states, weights, None, **known)[0]
    return after


def recurrent_freeze(
    cell: Cell,
    cells: Sequence[Weights],
    *,
    options: Options,
    directions: int,
    residual: bool,
    owners: Any,
    num_threads: int | None = None,
) -> Any:
    """Return what runs weights of few bits; for arrays None, as here nothing is packed."""
    if isinstance(cells[0][0], np.ndarray):
        return None
    from .frozen import Frozen

    return Frozen(cell, cells, options, directions, residual)


def equations(cell: Cell) -> Any:
    """Return what has the ``step`` and the ``step_backward`` of a cell: its file, or a program."""
    if cell.program is None:
        return import_module(f"fastrnn._reference.{cell.name}")
    functions = (program.step, program.step_backward)
    return SimpleNamespace(**{each.__name__: partial(each, cell) for each in functions})


def _defined(
    cell: Cell, weights: Sequence[Weights], options: Options
) -> tuple[Sequence[Weights], dict[str, Any]]:
    """Return the weights as the cell's file defines them, and the options that it knows."""
    known = dict(options)
    if known.pop("textbook", False):
        weights = [from_textbook(cell, own) for own in weights]
    return weights, known
