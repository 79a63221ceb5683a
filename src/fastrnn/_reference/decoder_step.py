"""One step of a decoder: stacked recurrent cells, and attention to a memory.

With x_t the input that is known ahead, a the attention to the memory (`attention.py`), h_t the
output of the top layer, c_t the context and f_t the features, the decoder's `context` is one of

=================  =================================================  ==============================
``None``           ``h_t = stack(x_t)``                               (there is no c_t)
``output``         ``h_t = stack(x_t)``, ``c_t = a(h_t)``             Luong et al. 2015, section 3.1
``input_feeding``  ``h_t = stack([x_t; f_{t-1}])``, ``c_t = a(h_t)``  Luong et al. 2015, section 3.3
``input``          ``c_t = a(s_{t-1})``, ``h_t = stack([x_t; c_t])``  Bahdanau et al. 2015, eq. 4
=================  =================================================  ==============================

where s is the state h of the top layer, and then

``f_t = tanh([c_t; h_t] Wc + bc)``                                 Luong et al. 2015, equation 5

or, without a readout, ``f_t = [c_t; h_t]``; where there is no c_t, f_t is h_t. From the third layer
on a residual stack adds to a layer's output what it came from (Wu et al. 2016, section 3.1):

``y_k = cell(drop_k * y_{k-1}) + y_{k-1}``

Shapes, for R rows: x (R, E), f (R, F), each state (L, R, H), memory (R, S, M), or (1, S, M) where
all rows have the same; Wx of the first layer (E, G*H), (E + F, G*H) or (E + M, G*H), the rows of x
first; Wc (M + H, F), bc (F,); drops (L - 1, R, H); drop_h (L, R, H), factors on h where it meets
Wh.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._cells import FIRST_RESIDUAL

from .attention import attention_backward, attention_forward
from .recurrent import equations
from .types import Array, Stash, Weights


def step(
    decoder: Any,
    x: Array,
    fed: Array | None,
    states: Sequence[Array],
    memory: Array,
    *,
    lengths: Array | None,
    drops: Array | None = None,
    drop_h: Array | None = None,
    train: bool = False,
) -> tuple[Array, Array, list[Array], Stash]:
    """Return features, attention (R, S), the states after, and what `step_backward` needs.

    `decoder` is as `fastrnn.ops.DecoderWeights`, `fed` the features before for input_feeding, else
    None; `lengths` are those of the memory.
    """
    context, attention, attended = x[:, :0], np.zeros((len(x), memory.shape[1]), x.dtype), None
    second = context if fed is None else fed
    if decoder.context == "input":
        context, attention, attended = _attend(decoder, states[0][-1], memory, lengths, train)
        second = context
    first = np.concatenate((x, second), axis=1)
    h, after, stacked = _stack(decoder, first, states, drops, drop_h)
    if decoder.context in ("output", "input_feeding"):
        context, attention, attended = _attend(decoder, h, memory, lengths, train)
    joined = features = np.concatenate((context, h), axis=1)
    if decoder.readout is not None:
        Wc, bc = decoder.readout
        features = np.tanh(joined @ Wc + bc)
    E, M = x.shape[1], context.shape[1]
    return features, attention, after, (decoder, E, M, drops, attended, stacked, joined, features)


def step_backward(
    dfeatures: Array, dattention: Array | None, dstates: Sequence[Array], saved: Stash
) -> tuple[Array, Array, list[Array], Array, list[Weights]]:
    """Return ``(dx, dsecond, dstates, dmemory, dweights)`` of one step, with a memory for each row.

    dsecond is the gradient of what the first layer reads beside x; dweights are those of each cell,
    of the score and of the readout.
    """
    decoder, E, M, drops, attended, stacked, joined, f = saved
    djoined, dreadout = dfeatures, list[Array]()  # f = joined
    if decoder.readout is not None:
        Wc, _ = decoder.readout
        dz = dfeatures * (1 - f * f)  # f = tanh(z)
        djoined = dz @ Wc.T  # z = joined @ Wc + bc
        dreadout = [joined.T @ dz, dz.sum(axis=0)]  # z = joined @ Wc + bc
    dc, dh = djoined[:, :M], djoined[:, M:]  # joined = [c; h]
    if decoder.context != "input":
        dquery, dmemory, dscore = _attend_backward(dc, dattention, attended)  # c = a(h)
        dh = dh + dquery  # c = a(h)
    dfirst, dbefore, dcells = _stack_backward(decoder, dh, dstates, stacked, drops)
    dx, dsecond = dfirst[:, :E], dfirst[:, E:]  # first = [x; fed] or [x; c]
    if decoder.context == "input":
        dc = dc + dsecond
        dquery, dmemory, dscore = _attend_backward(dc, dattention, attended)  # c = a(s_{t-1})
        dbefore[0][-1] += dquery  # c = a(s_{t-1})
    return dx, dsecond, dbefore, dmemory, [*dcells, dscore, dreadout]


def _attend(
    decoder: Any, query: Array, memory: Array, lengths: Array | None, train: bool
) -> tuple[Array, Array, Stash | None]:
    """Return the context (R, M) and the attention (R, S) of queries (R, H), and a stash."""
    context, attention, stash = attention_forward(
        query[None] if len(memory) == 1 else query[:, None],
        memory,
        memory,
        decoder.weights,
        score=decoder.score,
        heads=decoder.num_heads,
        lengths=lengths,
        train=train,
    )
    (_, S, M), R = memory.shape, len(query)
    return context.reshape(R, M), attention.reshape(R, S), stash


def _attend_backward(
    dcontext: Array, dattention: Array | None, stash: Stash
) -> tuple[Array, Array, tuple[Array, ...]]:
    """Return ``(dquery, dmemory, dweights)``."""
    dattention = None if dattention is None else dattention[:, None]
    dquery, dmemory, _, dweights = attention_backward(
        dcontext[:, None], dattention, stash, shared=True
    )
    return dquery[:, 0], dmemory, dweights


def _stack(
    decoder: Any, y: Array, states: Sequence[Array], drops: Array | None, drop_h: Array | None
) -> tuple[Array, list[Array], list[Stash]]:
    """One step of every layer: the output of the last, the new states, what the backward needs."""
    step, new, saved = equations(decoder.row).step, [], []
    for k, weights in enumerate(decoder.cells):
        below = y
        dropped = below if drops is None or k == 0 else drops[k - 1] * below
        drop = None if drop_h is None else drop_h[k]
        after, internals = step(dropped, [state[k] for state in states], weights, drop)
        y = after[0] + below if decoder.residual and k >= FIRST_RESIDUAL else after[0]
        new.append(after)
        saved.append(internals)
    return y, [np.stack(each) for each in zip(*new, strict=True)], saved


def _stack_backward(
    decoder: Any, dy: Array, dstates: Sequence[Array], saved: Sequence[Stash], drops: Array | None
) -> tuple[Array, list[Array], list[Weights]]:
    """Gradients of the input of the first layer, of the states before, of all weights."""
    step_backward = equations(decoder.row).step_backward
    dbefore = [np.empty_like(dstate) for dstate in dstates]
    dcells: list[Weights] = []
    for k in reversed(range(len(saved))):
        dh, *others = (dstate[k] for dstate in dstates)
        dbelow, before, dweights = step_backward((dh + dy, *others), saved[k])
        for dstate, new in zip(dbefore, before, strict=True):
            dstate[k] = new
        dcells.insert(0, dweights)
        if drops is not None and k > 0:
            dbelow = dbelow * drops[k - 1]  # dropped = drops * below
        dy = dbelow + dy if decoder.residual and k >= FIRST_RESIDUAL else dbelow  # y = h + below
    return dy, dbefore, dcells
