"""Attention: an average of values, weighted by how well each key answers the query.

``context = attention @ values``, ``attention = softmax(score(query, keys))`` over the keys
(Bahdanau et al. 2015, equations 5 and 6), with the score

==============  ===================================  ========================================
``dot``         ``q . k``                            Luong et al. 2015, equation 8
``scaled_dot``  ``q . k / sqrt(Dk)``                 Vaswani et al. 2017, equation 1
``general``     ``q W . k``                          Luong et al. 2015, equation 8
``additive``    ``v . tanh(q Wq + k Wk)``            Bahdanau et al. 2015, appendix A.1.2
==============  ===================================  ========================================

``multi_head`` attends by ``scaled_dot`` several times at once, each head between its own columns of
projected queries, keys and values: head i of ``query Wq``, ``keys Wk`` and ``values Wv`` holds the
A / heads columns from i A / heads on. The contexts of all heads, side by side, meet Wo; the
attention is the mean of theirs (Vaswani et al. 2017, section 3.2.2).

Shapes: query (N, Tq, Dq), keys (N, Tk, Dk), values (N, Tk, Dv); W (Dq, Dk); Wq (Dq, A),
Wk (Dk, A), v (A,), Wv (Dv, A), Wo (A, Dv); context (N, Tq, Dv), attention (N, Tq, Tk).

Keys and values past a sequence's length are replaced by 0 on entry, so whatever padding
holds reaches nothing; they get weight and gradient exactly 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .types import Array, Stash


def attention_forward(
    query: Array,
    keys: Array,
    values: Array,
    weights: tuple[Array, ...],
    *,
    score: str,
    lengths: Array | None,
    train: bool,
    heads: int = 1,
    num_threads: int | None = None,
) -> tuple[Array, Array, Stash | None]:
    """Return context, attention, and what `attention_backward` needs.

    `weights` holds ``()``, ``()``, ``(W,)`` or ``(Wq, Wk, v)``, in the order of the table above, or
    for multi_head ``(Wq, Wk, Wv, Wo)``; only this has several `heads`.
    """
    owned = _owned(keys, lengths)
    keys, values = np.where(owned, keys, 0), np.where(owned, values, 0)
    given = query, keys, values, owned
    if score == "multi_head":
        context, attention, kept = _multi_head(*given, heads, weights)
    else:
        context, attention, kept = _attend(*given, score, weights)
    return context, attention, (given, score, heads, weights, kept) if train else None


def attention_backward(
    dcontext: Array,
    dattention: Array | None,
    stash: Stash,
    *,
    shared: bool = False,
    num_threads: int | None = None,
) -> tuple[Array, Array, Array | None, tuple[Array, ...]]:
    """Return ``(dquery, dkeys, dvalues, dweights)``; `dattention` None means zeros.

    If keys and values are `shared`, dkeys is the gradient of both and dvalues None.
    """
    given, score, heads, weights, kept = stash
    arguments = dcontext, dattention, given, weights, kept
    if score == "multi_head":
        dquery, dkeys, dvalues, *dweights = _multi_head_backward(*arguments, heads)
    else:
        dquery, dkeys, dvalues, *dweights = _attend_backward(*arguments, score)
    *_, owned = given
    dkeys, dvalues = np.where(owned, dkeys, 0), np.where(owned, dvalues, 0)
    if shared:
        return dquery, dkeys + dvalues, None, tuple(dweights)
    return dquery, dkeys, dvalues, tuple(dweights)


def _owned(keys: Array, lengths: Array | None) -> Array:
    """Return a mask (N, Tk, 1) of the keys inside the lengths."""
    N, Tk, _ = keys.shape
    if lengths is None:
        lengths = np.full(N, Tk)
    mask: Array = np.arange(Tk)[:, None] < lengths[:, None, None]
    return mask


def _attend(
    query: Array, keys: Array, values: Array, owned: Array, score: str, weights: tuple[Array, ...]
) -> tuple[Array, Array, Stash]:
    """Return context, attention, and what `_attend_backward` needs."""
    scores, internals = _SCORES[score][0](query, keys, *weights)
    attention = _softmax(scores, np.swapaxes(owned, 1, 2))
    own = attention.copy()  # the caller may write into the other
    return attention @ values, attention, (own, internals)


def _attend_backward(
    dcontext: Array, dattention: Array | None, given: Stash, weights: Stash, kept: Stash, score: str
) -> tuple[Array, ...]:
    """Return ``(dquery, dkeys, dvalues, *dweights)``."""
    (query, keys, values, owned), (attention, internals) = given, kept
    dvalues = attention.swapaxes(1, 2) @ dcontext  # context = attention @ values
    da = dcontext @ values.swapaxes(1, 2)  # context = attention @ values
    if dattention is not None:
        da = da + dattention
    da = np.where(owned.swapaxes(1, 2), da, 0)
    mean = (attention * da).sum(axis=2, keepdims=True)
    dscores = attention * (da - mean)  # attention = softmax(scores)
    dquery, dkeys, *dweights = _SCORES[score][1](dscores, query, keys, internals, *weights)
    return dquery, dkeys, dvalues, *dweights


def _multi_head(
    query: Array, keys: Array, values: Array, owned: Array, heads: int, weights: Stash
) -> tuple[Array, Array, Stash]:
    """Return context, attention, and what `_multi_head_backward` needs."""
    Wq, Wk, Wv, Wo = weights
    projected = query @ Wq, np.where(owned, keys @ Wk, 0), np.where(owned, values @ Wv, 0)
    parts = [np.split(array, heads, axis=2) for array in projected]
    each = [_attend(q, k, v, owned, "scaled_dot", ()) for q, k, v in zip(*parts, strict=True)]
    contexts, attentions, stashes = zip(*each, strict=True)
    joined = np.concatenate(contexts, axis=2)
    return joined @ Wo, np.mean(attentions, axis=0), (parts, joined, stashes)


def _multi_head_backward(
    dcontext: Array, dattention: Array | None, given: Stash, weights: Stash, kept: Stash, heads: int
) -> tuple[Array, ...]:
    """Return ``(dquery, dkeys, dvalues, dWq, dWk, dWv, dWo)``."""
    (query, keys, values, owned), (Wq, Wk, Wv, Wo) = given, weights
    parts, joined, stashes = kept
    djoined, dWo = dcontext @ Wo.T, _outer(joined, dcontext)  # context = joined @ Wo
    dcontexts = np.split(djoined, heads, axis=2)  # joined = concatenate(contexts)
    if dattention is not None:
        dattention = dattention / heads  # attention = mean(attentions)
    each = [
        _attend_backward(dpart, dattention, (q, k, v, owned), (), own, "scaled_dot")
        for dpart, q, k, v, own in zip(dcontexts, *parts, stashes, strict=True)
    ]
    dq, dk, dv = (np.concatenate(d, axis=2) for d in zip(*each, strict=True))  # parts = split(..)
    dquery, dWq = dq @ Wq.T, _outer(query, dq)  # q = query @ Wq
    dkeys, dWk = dk @ Wk.T, _outer(keys, dk)  # k = keys @ Wk
    dvalues, dWv = dv @ Wv.T, _outer(values, dv)  # v = values @ Wv
    return dquery, dkeys, dvalues, dWq, dWk, dWv, dWo


def _softmax(scores: Array, owned: Array) -> Array:
    """Softmax over the owned keys; 0 for the others and where there is none."""
    scores = np.where(owned, scores, -np.inf)
    top = scores.max(axis=2, keepdims=True, initial=np.finfo(scores.dtype).min)
    e = np.exp(scores - top)
    total = e.sum(axis=2, keepdims=True)
    attention: Array = e / np.where(owned.any(axis=2, keepdims=True), total, 1)
    return attention


def _dot(query: Array, keys: Array) -> tuple[Array, None]:
    return query @ keys.swapaxes(1, 2), None


def _dot_backward(ds: Array, query: Array, keys: Array, _: None) -> tuple[Array, Array]:
    dquery = ds @ keys  # s = query @ keys.T
    dkeys = ds.swapaxes(1, 2) @ query  # s = query @ keys.T
    return dquery, dkeys


def _scaled_dot(query: Array, keys: Array) -> tuple[Array, None]:
    return _dot(query / math.sqrt(keys.shape[2]), keys)


def _scaled_dot_backward(ds: Array, query: Array, keys: Array, _: None) -> tuple[Array, Array]:
    return _dot_backward(ds / math.sqrt(keys.shape[2]), query, keys, None)


def _general(query: Array, keys: Array, W: Array) -> tuple[Array, Array]:
    query_W = query @ W
    return _dot(query_W, keys)[0], query_W


def _general_backward(
    ds: Array, query: Array, keys: Array, query_W: Array, W: Array
) -> tuple[Array, Array, Array]:
    dquery_W, dkeys = _dot_backward(ds, query_W, keys, None)
    dquery = dquery_W @ W.T  # query_W = query @ W
    dW = _outer(query, dquery_W)  # query_W = query @ W
    return dquery, dkeys, dW


def _additive(query: Array, keys: Array, Wq: Array, Wk: Array, v: Array) -> tuple[Array, Array]:
    hidden = np.tanh((query @ Wq)[:, :, None] + (keys @ Wk)[:, None])
    return hidden @ v, hidden


def _additive_backward(
    ds: Array, query: Array, keys: Array, hidden: Array, Wq: Array, Wk: Array, v: Array
) -> tuple[Array, Array, Array, Array, Array]:
    dv = np.tensordot(ds, hidden, axes=3)  # s = hidden @ v
    dhidden = ds[..., None] * v  # s = hidden @ v
    da = dhidden * (1 - hidden * hidden)  # hidden = tanh(a)
    da_q, da_k = da.sum(axis=2), da.sum(axis=1)  # a = a_q[:, :, None] + a_k[:, None]
    dquery, dkeys = da_q @ Wq.T, da_k @ Wk.T  # a_q = query @ Wq, a_k = keys @ Wk
    dWq, dWk = _outer(query, da_q), _outer(keys, da_k)  # a_q = query @ Wq, a_k = keys @ Wk
    return dquery, dkeys, dWq, dWk, dv


def _outer(x: Array, dy: Array) -> Array:
    """Return dW of ``y = x @ W`` for x (N, T, D) and dy (N, T, O)."""
    return np.tensordot(x, dy, axes=((0, 1), (0, 1)))


_SCORES: dict[str, Any] = {
    "dot": (_dot, _dot_backward),
    "scaled_dot": (_scaled_dot, _scaled_dot_backward),
    "general": (_general, _general_backward),
    "additive": (_additive, _additive_backward),
}
