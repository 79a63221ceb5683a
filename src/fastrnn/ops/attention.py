"""Attention: each query's mean of the values, weighted by the softmax of its scores of the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array, DType
from fastrnn._renamed import renamed
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash

# The names and shapes of each score's weights.
SCORES: dict[str, dict[str, tuple[str, ...]]] = {
    "dot": {},
    "scaled_dot": {},
    "general": {"W": ("Dq", "Dk")},
    "additive": {"Wq": ("Dq", "A"), "Wk": ("Dk", "A"), "v": ("A",)},
    "multi_head": {"Wq": ("Dq", "A"), "Wk": ("Dk", "A"), "Wv": ("Dv", "A"), "Wo": ("A", "Dv")},
}


def attention(
    query: Any,
    keys: Any,
    values: Any,
    weights: Sequence[Any] = (),
    *,
    score: str = "dot",
    lengths: Any = None,
    num_heads: int = 1,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array]:
    """Attend to values by the scores of their keys, for inference.

    Parameters
    ----------
    query : array (N, Tq, Dq)
        Queries. Their dtype, float32 or float64, is that of all arrays.
    keys : array (N, Tk, Dk)
        Keys, with which the queries are scored.
    values : array (N, Tk, Dv)
        What is averaged.
    weights : sequence of arrays
        ``()`` for dot and scaled_dot, ``(W,)`` for general, ``(Wq, Wk, v)`` for additive, of shapes
        (Dq, Dk), and (Dq, A), (Dk, A), (A,); ``(Wq, Wk, Wv, Wo)`` for multi_head, the last two of
        shapes (Dv, A) and (A, Dv).
    score : {"dot", "scaled_dot", "general", "additive", "multi_head"}
        The score of a query q and a key k: ``q.k``, ``q.k / sqrt(Dk)``, ``q W k`` or
        ``v.tanh(q Wq + k Wk)``. With multi_head several heads attend by scaled_dot, each between
        its own columns of ``query Wq``, ``keys Wk`` and ``values Wv``, and their contexts, side by
        side, meet Wo.
    lengths : integer array (N,), optional
        The number of keys of each sequence, 0 to Tk; those beyond get the weight 0.
    num_heads : int, default 1
        Of multi_head; it divides A.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    context : array (N, Tq, Dv)
        The weighted means; 0 where there is no key. `docs/limits.md` states how far means over
        many keys may be off.
    attention : array (N, Tq, Tk)
        The attention weights; with multi_head, their mean over the heads.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a length or an option is wrong; TypeError if a dtype is.

    References
    ----------
    additive: D. Bahdanau, K. Cho and Y. Bengio, 2015, eq. 5 and 6 and appendix A.1.2;
    dot, general: M.-T. Luong, H. Pham and C. D. Manning, 2015, eq. 8;
    scaled_dot, multi_head: A. Vaswani et al., 2017, eq. 1 and section 3.2.2, without biases.
    """
    options = (score, lengths, num_heads, num_threads, backend)
    return _run(False, query, keys, values, weights, *options)[:2]


def attention_forward(
    query: Any,
    keys: Any,
    values: Any,
    weights: Sequence[Any] = (),
    *,
    score: str = "dot",
    lengths: Any = None,
    num_heads: int = 1,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Stash]:
    """Run as `attention` does and return (context, attention, stash).

    Raises
    ------
    ValueError, TypeError
        As `attention`.
    """
    options = (score, lengths, num_heads, num_threads, backend)
    return _run(True, query, keys, values, weights, *options)


@renamed(dalignment="dattention")
def attention_backward(
    dcontext: Any,
    dattention: Any,
    stash: Stash,
    *,
    shared: bool = False,
    num_threads: int | None = None,
) -> tuple[Array, Array, Array | None, tuple[Array, ...]]:
    """Return the gradients (dquery, dkeys, dvalues, dweights).

    Parameters
    ----------
    dcontext : array (N, Tq, Dv) or None
        Gradient of the context; None is zeros.
    dattention : array (N, Tq, Tk) or None
        Gradient of the attention; None is zeros.
    stash : Stash
        From `attention_forward`; the backward runs on the backend that ran it.
    shared : bool
        Whether keys and values were one array: dkeys is then the gradient of both, dvalues None.
    num_threads : int, optional
        For this call.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong, or keys and values of different shapes are said to be
        shared; TypeError if a dtype is.
    """
    stash = _backend.open_stash("Attention", stash)
    context, attention, keys, values = stash.shapes
    dcontext = check.array_or_zeros("Attention", "dcontext", dcontext, context, stash.dtype)
    if dattention is not None:
        dattention = check.array("Attention", "dattention", dattention, attention, stash.dtype)
    num_threads = check.threads("Attention", num_threads)
    if shared and keys != values:
        came = f"keys {keys} and values {values}"
        raise ValueError(f"Attention: shared must be False for {came}, got True")
    backend = _backend.get(stash.backend)
    dquery, dkeys, dvalues, dweights = backend.attention_backward(
        dcontext, dattention, stash.data, shared=shared, num_threads=num_threads
    )
    return dquery, dkeys, dvalues, tuple(dweights)


def score_weights(
    layer: str, score: str, weights: Any, sizes: dict[str, int], dtype: DType | None = None
) -> tuple[Array, ...]:
    """Return the weights of a score; by default the first sets their dtype.

    `sizes` holds what is known of their axes, and learns the others.
    """
    shapes = SCORES[score]
    if not isinstance(weights, Sequence):
        came = type(weights).__name__
        raise TypeError(f"{layer}: weights must be a sequence of arrays, got {came}")
    if len(weights) != len(shapes):
        wanted = f"({', '.join(shapes)})"
        raise ValueError(f"{layer}: weights must be {wanted} for {score}, got {len(weights)}")
    ready: list[Array] = []
    for (name, axes), weight in zip(shapes.items(), weights, strict=True):
        dtype = dtype or check.float_dtype(layer, name, weight)
        shape = tuple(sizes.get(axis, axis) for axis in axes)
        ready.append(check.array(layer, name, weight, shape, dtype, contiguous=True))
        sizes.update(zip(axes, ready[-1].shape, strict=True))
    return tuple(ready)


def check_heads(layer: str, score: str, num_heads: Any, attention_size: int) -> int:
    """Return a number of heads that the score has and that share the columns evenly."""
    heads = check.size(layer, "num_heads", num_heads)
    if score != "multi_head" and heads != 1:
        raise ValueError(f"{layer}: num_heads must be 1 for score {score!r}, got {heads}")
    if attention_size % heads:
        wanted = f"divide the attention size {attention_size}"
        raise ValueError(f"{layer}: num_heads must {wanted}, got {heads}")
    return heads


def _run(train: bool, *arguments: Any) -> tuple[Array, Array, Stash]:
    """Check and compute, all arguments in their order; the stash serves only if `train`."""
    query, keys, values, weights, score, lengths, num_heads, num_threads, backend = arguments
    check.option("Attention", "score", score, SCORES)
    sizes: dict[str, int] = {}
    ready = score_weights("Attention", score, weights, sizes)
    dtype = ready[0].dtype if ready else check.float_dtype("Attention", "query", query)
    shape = ("N", "Tq", sizes.get("Dq", "Dq"))
    num_heads = check_heads("Attention", score, num_heads, sizes.get("A", 1))
    query = check.array("Attention", "query", query, shape, dtype)
    N, _, Dq = query.shape
    keys = check.array("Attention", "keys", keys, (N, "Tk", sizes.setdefault("Dk", Dq)), dtype)
    Tk = keys.shape[1]
    values = check.array("Attention", "values", values, (N, Tk, sizes.get("Dv", "Dv")), dtype)
    lengths = check.lengths("Attention", lengths, N, Tk)
    num_threads = check.threads("Attention", num_threads)
    chosen = _backend.choose(backend)
    context, attention, data = _backend.get(chosen).attention_forward(
        query,
        keys,
        values,
        ready,
        score=score,
        lengths=lengths,
        train=train,
        heads=num_heads,
        num_threads=num_threads,
    )
    shapes_out = (context.shape, attention.shape, keys.shape, values.shape)
    used = {"query": query, "keys": keys, "values": values}
    used |= zip(SCORES[score], ready, strict=True)
    stash = Stash("Attention", chosen, dtype, shapes_out, data, _backend.found(used))
    return context, attention, stash
