"""A stack of recurrent cells that reads its memory by attention at every step.

With x_t the input that is known ahead, a the attention to the memory (`attention.py`), h_t the
output of the top layer, c_t the context and f_t the features, in one of two orders:

===================  ============================================  ==============================
``input_feeding``    ``h_t = stack([x_t; f_{t-1}])``               Luong et al. 2015, section 3.3
                     ``c_t = a(h_t)``
``input``            ``c_t = a(s_{t-1})``                          Bahdanau et al. 2015, equation 4
                     ``h_t = stack([x_t; c_t])``
===================  ============================================  ==============================

where s is the state h of the top layer, and then

``f_t = tanh([c_t; h_t] Wc + bc)``                                 Luong et al. 2015, equation 5

or, without a readout, ``f_t = [c_t; h_t]``. From the third layer on a residual stack adds to a
layer's output what it came from (Wu et al. 2016, section 3.1):

``y_k = cell(drop_k * y_{k-1}) + y_{k-1}``

A sequence may end before step T. Beyond its own last step f is 0, and what is fed and the states
stay, as in a recurrent layer (`sequence.py`).

Shapes: x (N, T, E), f (N, F), each state (L, N, H), memory (N, S, M); Wx of the first layer
(E + F, G*H) or (E + M, G*H), the rows of x first; Wc (M + H, F), bc (F,); drops (L - 1, N, T, H);
drop_h (L, N, H), factors on h where it meets Wh, at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from . import sequence
from .attention import attention_backward, attention_forward
from .recurrent import equations
from .sequence import add_to, rows_of
from .types import Array, Stash

Weights = tuple["Array | None", ...]  # of one cell


def attention_decoder_forward(
    x: Array,
    fed: Array | None,
    states: Sequence[Array],
    memory: Array,
    cells: Sequence[Weights],
    weights: tuple[Array, ...],
    readout: tuple[Array, Array] | None,
    *,
    cell: str,
    score: str,
    heads: int,
    context: str,
    lengths: Array | None,
    residual: bool,
    drops: Array | None,
    drop_h: Array | None,
    train: bool,
    steps: Array | None = None,
    num_threads: int | None = None,
) -> tuple[Array, Array, Array | None, list[Array], Stash | None]:
    """Return features, alignment, the last features to feed, the last states, and a stash.

    `fed` are the features before the first step, for input_feeding; `cells` hold the weights of
    each layer, `weights` those of the score. `lengths` are those of the memory, `steps` the numbers
    of steps of the sequences.
    """
    N, T, _ = x.shape
    feeding = context == "input_feeding"
    width = memory.shape[2] + states[0].shape[2] if readout is None else len(readout[1])
    features = np.zeros((N, T, width), x.dtype)
    alignment = np.zeros((N, T, memory.shape[1]), x.dtype)
    states = [state.copy() for state in states]
    fed = None if fed is None else fed.copy()
    attend = partial(_attend, weights=weights, score=score, heads=heads, train=train)
    run = partial(stack_step, cells=cells, step=equations(cell).step, residual=residual)
    tape = []
    for t, rows in sequence.steps(x, steps, reverse=False):
        drops_t = None if drops is None else drops[:, rows, t]
        drop = None if drop_h is None else drop_h[:, rows]
        own, known = memory[rows], rows_of(lengths, rows)
        before = [state[:, rows] for state in states]
        if feeding:
            assert fed is not None
            first = np.concatenate((x[rows, t], fed[rows]), axis=1)
            h, after, stacked = run(first, before, drops=drops_t, drop_h=drop)
            c, a, attended = attend(h, own, lengths=known)
        else:
            c, a, attended = attend(before[0][-1], own, lengths=known)
            first = np.concatenate((x[rows, t], c), axis=1)
            h, after, stacked = run(first, before, drops=drops_t, drop_h=drop)
        joined = np.concatenate((c, h), axis=1)
        f = joined if readout is None else np.tanh(joined @ readout[0] + readout[1])
        features[rows, t], alignment[rows, t] = f, a
        for state, new in zip(states, after, strict=True):
            state[:, rows] = new
        if fed is not None:
            fed[rows] = f
        if train:
            tape.append((t, rows, attended, stacked, joined, f))
    stash = (x, memory, cells, weights, readout, cell, feeding, residual, drops, tape)
    return features, alignment, fed, states, stash if train else None


def attention_decoder_backward(
    dfeatures: Array,
    dalignment: Array | None,
    dfed_last: Array | None,
    dstates: Sequence[Array],
    stash: Stash,
    *,
    num_threads: int | None = None,
) -> tuple[
    Array, Array | None, list[Array], Array, list[Weights], tuple[Array, ...], tuple[Array, ...]
]:
    """Return ``(dx, dfed, dstates0, dmemory, dcells, dweights, dreadout)``; None means zeros."""
    x, memory, cells, weights, readout, cell, feeding, residual, drops, tape = stash
    N, _, E = x.shape
    M = memory.shape[2]
    dx, dmemory, dweights, dreadout = (_zeros(each) for each in (x, memory, weights, readout or ()))
    dcells = [_zeros(each) for each in cells]
    dstates = [dstate.copy() for dstate in dstates]
    dfed = np.zeros((N, dfeatures.shape[2]), x.dtype) if dfed_last is None else dfed_last.copy()
    for t, rows, attended, stacked, joined, f in reversed(tape):
        da = None if dalignment is None else dalignment[rows, t, None]
        df = dfeatures[rows, t]
        if feeding:
            df = df + dfed[rows]  # fed = f, in the step after
        if readout is None:
            djoined = df  # f = joined
        else:
            dz = df * (1 - f * f)  # f = tanh(z)
            djoined = dz @ readout[0].T  # z = joined @ Wc + bc
            add_to(dreadout, (joined.T @ dz, dz.sum(axis=0)))  # z = joined @ Wc + bc
        dc, dh = djoined[:, :M], djoined[:, M:]  # joined = [c; h]
        if feeding:
            dquery, dkeys, _, dscore = attention_backward(dc[:, None], da, attended, shared=True)
            dh = dh + dquery[:, 0]  # c = a(h)
        dafter = [dstate[:, rows] for dstate in dstates]
        drops_t = None if drops is None else drops[:, rows, t]
        dfirst, dbefore, dstack = _stack_backward(
            dh, dafter, stacked, equations(cell).step_backward, residual, drops_t
        )
        dx[rows, t], dsecond = dfirst[:, :E], dfirst[:, E:]  # first = [x; fed] or [x; c]
        if feeding:
            dfed[rows] = dsecond
        else:
            dc = dc + dsecond
            dquery, dkeys, _, dscore = attention_backward(dc[:, None], da, attended, shared=True)
            dbefore[0][-1] += dquery[:, 0]  # c = a(s_{t-1})
        for dstate, new in zip(dstates, dbefore, strict=True):
            dstate[:, rows] = new
        dmemory[rows] += dkeys
        add_to(dweights, dscore)
        for total, parts in zip(dcells, dstack, strict=True):
            add_to(total, parts)
    return dx, dfed if feeding else None, dstates, dmemory, dcells, dweights, dreadout


def _attend(
    query: Array, memory: Array, *, weights: tuple[Array, ...], **options: Any
) -> tuple[Array, Array, Stash | None]:
    """Attend with one query (N, H) for each sequence: context (N, M), alignment (N, S), stash."""
    c, a, stash = attention_forward(query[:, None], memory, memory, weights, **options)
    return c[:, 0], a[:, 0], stash


def stack_step(
    y: Array,
    states: Sequence[Array],
    *,
    cells: Sequence[Weights],
    step: Any,
    residual: bool,
    drops: Array | None,
    drop_h: Array | None,
) -> tuple[Array, list[Array], list[Stash]]:
    """One step of every layer: the output of the last, the new states, what the backward needs."""
    new, saved = [], []
    for k, weights in enumerate(cells):
        below = y
        dropped = below if drops is None or k == 0 else drops[k - 1] * below
        drop = None if drop_h is None else drop_h[k]
        state, internals = step(dropped, [each[k] for each in states], weights, drop)
        y = state[0] + below if residual and k >= 2 else state[0]
        new.append(state)
        saved.append(internals)
    return y, [np.stack(each) for each in zip(*new, strict=True)], saved


def _stack_backward(
    dy: Array,
    dstates: Sequence[Array],
    saved: Sequence[Stash],
    step_backward: Any,
    residual: bool,
    drops: Array | None,
) -> tuple[Array, list[Array], list[Weights]]:
    """Gradients of the input of the first layer, of the states before, of all weights."""
    dprevious = [np.empty_like(dstate) for dstate in dstates]
    dcells: list[Weights] = []
    for k in reversed(range(len(saved))):
        dh, *others = (dstate[k] for dstate in dstates)
        dbelow, before, dweights = step_backward((dh + dy, *others), saved[k])
        for dstate, new in zip(dprevious, before, strict=True):
            dstate[k] = new
        dcells.insert(0, dweights)
        if drops is not None and k > 0:
            dbelow = dbelow * drops[k - 1]  # dropped = drops * below
        dy = dbelow + dy if residual and k >= 2 else dbelow  # y = h + below
    return dy, dprevious, dcells


def _zeros(arrays: Any) -> Any:
    """Zeros for a gradient of an array, or of each of a tuple; None stays None."""
    if isinstance(arrays, tuple):
        return tuple(_zeros(each) for each in arrays)
    return None if arrays is None else np.zeros_like(arrays)
