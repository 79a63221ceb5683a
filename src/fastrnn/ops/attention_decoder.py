"""A decoder: stacked recurrent cells that attend to a memory at every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar, cast

from fastrnn import _check as check
from fastrnn._check import Array, DType
from fastrnn._renamed import renamed, warn
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash, Weights
from fastrnn.ops.attention import SCORES
from fastrnn.ops.decoder_weights import (
    DecoderWeights,
    check_attention,
    check_cells,
    check_input_width,
    shown,
)

CONTEXTS = ("input_feeding", "input")

_NAME = "AttentionDecoder"
_ARRAYS = ("x", "fed", "states", "memory", "cells", "weights", "readout")
_DEFAULTS = {"cell": "lstm", "score": "general", "context": "input_feeding"}

Function = TypeVar("Function", bound=Callable[..., Any])


def _or_its_arrays(function: Function) -> Function:
    """Let a function also take a decoder's arrays and options one by one, as it once did."""

    @wraps(function)
    def adapted(*args: Any, **options: Any) -> Any:
        given = dict(zip(_ARRAYS, args, strict=False)) | options
        cells = given.get("cells")  # in their place a new call has the memory
        if isinstance(given.get("x"), DecoderWeights) or not isinstance(cells, Sequence):
            return function(*args, **options)
        warn(f"{function.__name__}: the weights are now given as one DecoderWeights")
        given = _DEFAULTS | given
        fields = DecoderWeights.__dataclass_fields__.keys() & given
        weights = DecoderWeights(**{name: given.pop(name) for name in fields})
        return function(weights, **given)

    return cast("Function", adapted)


@_or_its_arrays
def attention_decoder(
    weights: DecoderWeights,
    x: Any,
    fed: Any,
    states: Sequence[Any],
    memory: Any,
    *,
    lengths: Any = None,
    steps: Any = None,
    drops: Any = None,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array | None, list[Array]]:
    """Run a decoder whose recurrence contains its attention, for inference.

    At each step a stack of cells reads the input x_t and what attention found in the memory. With
    ``context="input_feeding"`` the first cell reads ``[x_t; f_{t-1}]``, then the output h_t of the
    top layer asks the memory for the context c_t. With ``context="input"`` the state of the top
    layer after the step before asks, and the first cell reads ``[x_t; c_t]``. The features of a
    step are ``f_t = tanh([c_t; h_t] Wc + bc)`` or, without a readout, ``[c_t; h_t]``.

    Parameters
    ----------
    weights : DecoderWeights
        The decoder, of context "input_feeding" or "input". The first Wx has E + F rows
        (input_feeding) or E + M (input), those of x first. Its output is not used.
    x : array (N, T, E), or integer array (N, T)
        Inputs that are known ahead; integers are the numbers of rows of ``weights.embedding``, and
        the product of a row with the first Wx may be made once, not at each place.
    fed : array (N, F) or None
        The features before the first step, for input feeding; None is zeros. F is the width of the
        features: R, or M + H without a readout. Must be None for ``context="input"``.
    states : sequence of arrays (L, N, H)
        The initial states, ``[h]`` or for an LSTM ``[h, c]``, layer by layer; None is zeros.
    memory : array (N, S, M)
        What is attended to: keys and values in one.
    lengths : integer array (N,), optional
        The steps of the memory of each sequence, 0 to S; those beyond get the weight 0.
    steps : integer array (N,), optional
        How far each sequence goes, 0 to T steps. Beyond that features and attention are 0, and what
        is fed and the states stay.
    drops : array (L - 1, N, T, H), optional
        Factors on the inputs of all layers but the first: 0 or 1 / (1 - p) for dropout.
    drop_h : array (L, N, H), optional
        Factors on the states h where they meet Wh, the same at each step.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    features : array (N, T, F)
        f_t.
    attention : array (N, T, S)
        The attention weights of the memory at each step.
    fed : array (N, F) or None
        What to feed to the step that follows each sequence's last; None for ``context="input"``.
    states : list of arrays (L, N, H)
        The states after each sequence's last step.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a length or an option is wrong; TypeError if a dtype is.

    Notes
    -----
    With ``context="input"`` and ``residual`` the query is the state h, to which nothing was added.

    References
    ----------
    input_feeding: M.-T. Luong, H. Pham and C. D. Manning, 2015, section 3.3 and eq. 5;
    input: D. Bahdanau, K. Cho and Y. Bengio, 2015, eq. 4 to 6;
    residual: Y. Wu et al., 2016, section 3.1.
    """
    inputs = (weights, x, fed, states, memory, lengths, steps, drops, drop_h)
    return _run(False, *inputs, num_threads, backend)[:4]


@_or_its_arrays
def attention_decoder_forward(
    weights: DecoderWeights,
    x: Any,
    fed: Any,
    states: Sequence[Any],
    memory: Any,
    *,
    lengths: Any = None,
    steps: Any = None,
    drops: Any = None,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array | None, list[Array], Stash]:
    """Run as `attention_decoder` does; return (features, attention, fed, states, stash).

    Raises
    ------
    ValueError, TypeError
        As `attention_decoder`.
    """
    inputs = (weights, x, fed, states, memory, lengths, steps, drops, drop_h)
    return _run(True, *inputs, num_threads, backend)


@renamed(dalignment="dattention")
def attention_decoder_backward(
    dfeatures: Any,
    dattention: Any,
    dfed: Any,
    dstates: Sequence[Any],
    stash: Stash,
    *,
    num_threads: int | None = None,
) -> tuple[Array, Array | None, list[Array], Array, list[Weights], Weights, Weights]:
    """Return (dx, dfed, dstates, dmemory, dcells, dweights, dreadout).

    Parameters
    ----------
    dfeatures : array (N, T, F) or None
        Gradient of the features; None is zeros.
    dattention : array (N, T, S) or None
        Gradient of the attention; None is zeros.
    dfed : array (N, F) or None
        Gradient of the last features to feed; None is zeros. Must be None for ``context="input"``.
    dstates : sequence of arrays (L, N, H)
        Gradients of the last states; None is zeros.
    stash : Stash
        From `attention_decoder_forward`; the backward runs on the backend that ran it.
    num_threads : int, optional
        For this call.

    Returns
    -------
    dx, dfed, dstates, dmemory, dcells, dweights, dreadout
        Gradients of the arguments, in their form; dx is that of the embedding, where x were the
        numbers of its rows; dfed is None for ``context="input"``, dreadout empty without a readout.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape is wrong; TypeError if a dtype is.
    """
    stash = _backend.open_stash(_NAME, stash)
    features, attention, states, *rest = stash.shapes
    feeding = bool(rest)
    dfeatures = check.array_or_zeros(_NAME, "dfeatures", dfeatures, features, stash.dtype)
    if dattention is not None:
        dattention = check.array(_NAME, "dattention", dattention, attention, stash.dtype)
    dfed = _fed("dfed", dfed, feeding, (features[0], features[2]), stash.dtype)
    dstates = _states("dstates", dstates, states[0], states[1:], stash.dtype)
    num_threads = check.threads(_NAME, num_threads)
    backend = _backend.get(stash.backend)
    return backend.attention_decoder_backward(
        dfeatures, dattention, dfed, dstates, stash.data, num_threads=num_threads
    )


def _run(train: bool, *arguments: Any) -> tuple[Array, Array, Array | None, list[Array], Stash]:
    """Check and compute, all arguments in their order; the stash serves only if `train`."""
    weights, x, fed, states, memory, lengths, steps, drops, drop_h, num_threads, backend = arguments
    decoder, D, H, dtype = check_cells(_NAME, weights)
    if train and decoder.row.keeps:
        wanted = "a cell without `keep`, of which there are no masks here"
        raise ValueError(f"{_NAME}: in training cell must be {wanted}, got {decoder.row.title}")
    feeding = check.option(_NAME, "context", decoder.context, CONTEXTS) == "input_feeding"
    decoder, x, E = _inputs(decoder, x, dtype)
    N, T = x.shape[:2]
    memory = check.array(_NAME, "memory", memory, (N, "S", "M"), dtype)
    _, S, M = memory.shape
    decoder, F = check_attention(_NAME, decoder, H, M, dtype)
    check_input_width(_NAME, D, {"x": E} | ({"fed": F} if feeding else {"context": M}))
    fed = _fed("fed", fed, feeding, (N, F), dtype)
    L, count = len(decoder.cells), len(decoder.row.states)
    states = _states("states", states, count, (L, N, H), dtype)
    if drops is not None:
        drops = check.array(_NAME, "drops", drops, (L - 1, N, T, H), dtype, contiguous=True)
    if drop_h is not None:
        drop_h = check.array(_NAME, "drop_h", drop_h, (L, N, H), dtype, contiguous=True)
    lengths = check.lengths(_NAME, lengths, N, S)
    chosen = _backend.choose(backend)
    features, attention, last, finals, data = _backend.get(chosen).attention_decoder_forward(
        decoder,
        x,
        fed,
        states,
        memory,
        lengths=lengths,
        steps=check.lengths(_NAME, steps, N, T, "steps"),
        drops=drops,
        drop_h=drop_h,
        train=train,
        num_threads=check.threads(_NAME, num_threads),
    )
    shapes = (features.shape, attention.shape, (count, L, N, H), *(((),) if feeding else ()))
    used = {"x": x, "memory": memory, "drops": drops, "drop_h": drop_h} | _named(decoder)
    stash = Stash(_NAME, chosen, dtype, shapes, data, _backend.found(used))
    return features, attention, last, finals, stash


def _named(decoder: DecoderWeights) -> dict[str, Array | None]:
    """Return the arrays of a checked decoder by name."""
    named = {"embedding": decoder.embedding}
    for k, arrays in enumerate(decoder.cells):
        names = decoder.row.weights
        named |= {f"{name}_l{k}": array for name, array in zip(names, arrays, strict=True)}
    named |= zip(SCORES[decoder.score], decoder.weights, strict=True)
    return named | dict(zip(("Wc", "bc"), decoder.readout or (), strict=False))


def _inputs(decoder: DecoderWeights, x: Any, dtype: DType) -> tuple[DecoderWeights, Array, int]:
    """Return x and its width E, with integers that of the embedding, which is checked for them."""
    if decoder.embedding is None or getattr(x, "ndim", 2) == 3:
        x = check.array(_NAME, "x", x, ("N", "T", "E"), dtype)
        return decoder, x, x.shape[2]
    embedding = check.array(
        _NAME, "embedding", decoder.embedding, ("V", "E"), dtype, contiguous=True
    )
    x = check.integers(_NAME, "x", x, ("N", "T"), len(embedding))
    return replace(decoder, embedding=embedding), x, embedding.shape[1]


def _fed(
    name: str, value: Any, feeding: bool, shape: tuple[int, ...], dtype: DType
) -> Array | None:
    """Return what is fed, or its gradient: zeros for None, and None where nothing is fed."""
    if feeding:
        return check.array_or_zeros(_NAME, name, value, shape, dtype, contiguous=True)
    if value is not None:
        raise ValueError(f"{_NAME}: {name} must be None for context 'input', where nothing is fed")
    return None


def _states(
    name: str, states: Any, count: int, shape: tuple[int, ...], dtype: DType
) -> list[Array]:
    """Return the states of all layers, or their gradients; None is zeros."""
    if not isinstance(states, Sequence) or len(states) != count:
        wanted = f"a sequence of {count} arrays"
        raise ValueError(f"{_NAME}: {name} must be {wanted}, got {shown(states)}")
    return [
        check.array_or_zeros(_NAME, f"{name}[{i}]", state, shape, dtype, contiguous=True)
        for i, state in enumerate(states)
    ]
