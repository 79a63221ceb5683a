"""A decoder: stacked recurrent cells that attend to a memory at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastrnn import _check as check
from fastrnn._cells import CELLS, Cell
from fastrnn._check import Array, DType
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash
from fastrnn.ops.attention import SCORES, check_heads, score_weights
from fastrnn.ops.embedding import embedding_backward, embedding_forward

CONTEXTS = ("input_feeding", "input")

_NAME = "AttentionDecoder"


def attention_decoder(
    x: Any,
    fed: Any,
    states: Sequence[Any],
    memory: Any,
    cells: Sequence[Sequence[Any]],
    weights: Sequence[Any] = (),
    readout: Sequence[Any] | None = None,
    *,
    cell: str = "lstm",
    score: str = "general",
    num_heads: int = 1,
    context: str = "input_feeding",
    lengths: Any = None,
    steps: Any = None,
    embedding: Any = None,
    residual: bool = False,
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
    x : array (N, T, E), or with an embedding an integer array (N, T)
        Inputs that are known ahead.
    fed : array (N, F) or None
        The features before the first step, for input feeding; None is zeros. F is the width of the
        features: R, or M + H without a readout. Must be None for ``context="input"``.
    states : sequence of arrays (L, N, H)
        The initial states, ``[h]`` or for an LSTM ``[h, c]``, layer by layer; None is zeros.
    memory : array (N, S, M)
        What is attended to: keys and values in one.
    cells : sequence of L sequences of arrays
        The weights of each layer: ``(Wx, Wh, b)`` or for a GRU ``(Wx, Wh, b, bh)``, in which bh may
        be None, as `lstm`, `gru` and `rnn` (tanh) take them. The first Wx has E + F rows
        (input_feeding) or E + M (input), those of x first. The dtype of the first, float32 or
        float64, is that of all arrays.
    weights : sequence of arrays
        Those of the score, as `attention` takes them; the query has the size H, keys and values M.
    readout : (array (M + H, R), array (R,)) or None
        Wc and bc.
    cell : {"lstm", "gru", "rnn"}
        The kind of cell.
    score : {"dot", "scaled_dot", "general", "additive", "multi_head"}
        As in `attention`.
    num_heads : int, default 1
        Of multi_head.
    context : {"input_feeding", "input"}
        How the context reaches the cells.
    lengths : integer array (N,), optional
        The steps of the memory of each sequence, 0 to S; those beyond get the weight 0.
    steps : integer array (N,), optional
        How far each sequence goes, 0 to T steps. Beyond that features and alignment are 0, and what
        is fed and the states stay.
    embedding : array (V, E), optional
        A table whose rows are the inputs; x holds their numbers. The product of a row with the
        first Wx is made once, not at each place.
    residual : bool
        Whether a layer from the third on adds the output of the layer before to its own. The
        query of ``context="input"`` is the state h, to which nothing was added.
    drops : array (L - 1, N, T, H), optional
        Factors on the inputs of all layers but the first: 0 or 1 / (1 - p) for dropout.
    drop_h : array (L, N, H), optional
        Factors on the states h where they meet Wh, the same at each step.
    num_threads : int, optional
        For this call; the default is that of `fastrnn.get_num_threads`.
    backend : {"compiled", "reference"}, optional
        For this call; the default is that of `fastrnn.backend`.

    Returns
    -------
    features : array (N, T, F)
        f_t.
    alignment : array (N, T, S)
        The weights of the memory at each step.
    fed : array (N, F) or None
        What to feed to the step that follows each sequence's last; None for ``context="input"``.
    states : list of arrays (L, N, H)
        The states after each sequence's last step.

    Raises
    ------
    ValueError
        If a shape, a length or an option is wrong.
    TypeError
        If a dtype is wrong.

    References
    ----------
    input_feeding: M.-T. Luong, H. Pham and C. D. Manning, 2015, section 3.3 and eq. 5;
    input: D. Bahdanau, K. Cho and Y. Bengio, 2015, eq. 4 to 6;
    residual: Y. Wu et al., 2016, section 3.1.
    """
    features, alignment, last, finals, _ = _run(
        x,
        fed,
        states,
        memory,
        cells,
        weights,
        readout,
        train=False,
        cell=cell,
        score=score,
        num_heads=num_heads,
        context=context,
        lengths=lengths,
        steps=steps,
        embedding=embedding,
        residual=residual,
        drops=drops,
        drop_h=drop_h,
        num_threads=num_threads,
        backend=backend,
    )
    return features, alignment, last, finals


def attention_decoder_forward(
    x: Any,
    fed: Any,
    states: Sequence[Any],
    memory: Any,
    cells: Sequence[Sequence[Any]],
    weights: Sequence[Any] = (),
    readout: Sequence[Any] | None = None,
    *,
    cell: str = "lstm",
    score: str = "general",
    num_heads: int = 1,
    context: str = "input_feeding",
    lengths: Any = None,
    steps: Any = None,
    embedding: Any = None,
    residual: bool = False,
    drops: Any = None,
    drop_h: Any = None,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[Array, Array, Array | None, list[Array], Stash]:
    """Run as `attention_decoder` does; return (features, alignment, fed, states, stash)."""
    return _run(
        x,
        fed,
        states,
        memory,
        cells,
        weights,
        readout,
        train=True,
        cell=cell,
        score=score,
        num_heads=num_heads,
        context=context,
        lengths=lengths,
        steps=steps,
        embedding=embedding,
        residual=residual,
        drops=drops,
        drop_h=drop_h,
        num_threads=num_threads,
        backend=backend,
    )


def attention_decoder_backward(
    dfeatures: Any,
    dalignment: Any,
    dfed: Any,
    dstates: Sequence[Any],
    stash: Stash,
    *,
    num_threads: int | None = None,
) -> tuple[
    Array,
    Array | None,
    list[Array],
    Array,
    list[tuple[Array | None, ...]],
    tuple[Array, ...],
    tuple[Array, ...],
]:
    """Return (dx, dfed, dstates, dmemory, dcells, dweights, dreadout).

    Parameters
    ----------
    dfeatures : array (N, T, F) or None
        Gradient of the features; None is zeros.
    dalignment : array (N, T, S) or None
        Gradient of the alignment; None is zeros.
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
        Gradients of the arguments, in their form; dx is that of the embedding, where forward was
        given one; dfed is None for ``context="input"``, dreadout empty without a readout.

    Raises
    ------
    ValueError
        If a shape is wrong.
    TypeError
        If a dtype is wrong.
    """
    stash = _backend.open_stash(_NAME, stash)
    features, alignment, states, *rest = stash.shapes
    feeding = bool(rest)
    dfeatures = check.array_or_zeros(_NAME, "dfeatures", dfeatures, features, stash.dtype)
    if dalignment is not None:
        dalignment = check.array(_NAME, "dalignment", dalignment, alignment, stash.dtype)
    dfed = _fed("dfed", dfed, feeding, (features[0], features[2]), stash.dtype)
    dstates = _states("dstates", dstates, states[0], states[1:], stash.dtype)
    num_threads = check.threads(_NAME, num_threads)
    data, looked_up = stash.data
    results: tuple[Any, ...] = _backend.get(stash.backend).attention_decoder_backward(
        dfeatures, dalignment, dfed, dstates, data, num_threads=num_threads
    )
    dx, dfed, dstates0, dmemory, dcells, dweights, dreadout = results
    if looked_up is not None:
        dx = embedding_backward(dx, looked_up)
    return dx, dfed, dstates0, dmemory, dcells, dweights, dreadout


def _run(
    x: Any,
    fed: Any,
    states: Any,
    memory: Any,
    cells: Any,
    weights: Any,
    readout: Any,
    *,
    train: bool,
    cell: str,
    score: str,
    num_heads: int,
    context: str,
    lengths: Any,
    steps: Any,
    embedding: Any,
    residual: bool,
    drops: Any,
    drop_h: Any,
    num_threads: int | None,
    backend: str | None,
) -> tuple[Array, Array, Array | None, list[Array], Stash]:
    """Check and compute; the stash is worth something only if `train`."""
    kind = CELLS[check.option(_NAME, "cell", cell, CELLS)]
    check.option(_NAME, "score", score, SCORES)
    feeding = check.option(_NAME, "context", context, CONTEXTS) == "input_feeding"
    ready, D, H, dtype = stacked_weights(_NAME, kind, cells)
    L = len(ready)
    x, embedding = _inputs(x, embedding, dtype)
    (N, T), E = x.shape[:2], (x if embedding is None else embedding).shape[-1]
    width = H if score in ("dot", "scaled_dot") else "M"
    memory = check.array(_NAME, "memory", memory, (N, "S", width), dtype)
    _, S, M = memory.shape
    known = {"Dq": H, "Dk": M, "Dv": M}
    weights = score_weights(_NAME, score, weights, known, dtype)
    heads = check_heads(_NAME, score, num_heads, known.get("A", 1))
    readout = readout_weights(_NAME, readout, M + H, dtype)
    F = M + H if readout is None else len(readout[1])
    second, name = (F, "fed") if feeding else (M, "context")
    if E + second != D:
        wanted = f"{E} + {second} rows (x and {name})"
        raise ValueError(f"{_NAME}: Wx_l0 must have {wanted}, got {D}")
    fed = _fed("fed", fed, feeding, (N, F), dtype)
    states = _states("states", states, len(kind.states), (L, N, H), dtype)
    if drops is not None:
        drops = check.array(_NAME, "drops", drops, (L - 1, N, T, H), dtype, contiguous=True)
    if drop_h is not None:
        drop_h = check.array(_NAME, "drop_h", drop_h, (L, N, H), dtype, contiguous=True)
    lengths = check.lengths(_NAME, lengths, N, S)
    if train and lengths is not None:
        lengths = lengths.copy()  # a backward trusts what was checked
    steps = check.lengths(_NAME, steps, N, T, "steps")
    num_threads = check.threads(_NAME, num_threads)
    chosen = _backend.choose(backend)
    given, looked_up = {}, None
    if embedding is not None and chosen == "compiled" and 0 < 2 * len(embedding) <= x.size:
        given["embedding"] = embedding
    elif embedding is not None:
        x, looked_up = embedding_forward(x, embedding, backend=chosen)
    features, alignment, last, finals, data = _backend.get(chosen).attention_decoder_forward(
        x,
        fed,
        states,
        memory,
        ready,
        weights,
        readout,
        cell=cell,
        score=score,
        heads=heads,
        context=context,
        lengths=lengths,
        steps=steps,
        residual=bool(residual),
        drops=drops,
        drop_h=drop_h,
        train=train,
        num_threads=num_threads,
        **given,
    )
    shapes = (features.shape, alignment.shape, (len(states), L, N, H), *(((),) if feeding else ()))
    stash = Stash(_NAME, chosen, dtype, shapes, (data, looked_up))
    return features, alignment, last, finals, stash


def _inputs(x: Any, embedding: Any, dtype: DType) -> tuple[Array, Array | None]:
    """Return x (N, T, E), or the numbers (N, T) of rows and the embedding that has them."""
    if embedding is None:
        return check.array(_NAME, "x", x, ("N", "T", "E"), dtype), None
    embedding = check.array(_NAME, "embedding", embedding, ("V", "E"), dtype, contiguous=True)
    return check.integers(_NAME, "x", x, ("N", "T"), len(embedding)), embedding


def stacked_weights(
    layer: str, cell: Cell, cells: Any
) -> tuple[list[tuple[Array | None, ...]], int, int, DType]:
    """Return the weights of every layer as a backend wants them, with D, H and the dtype."""
    names = cell.weights
    wanted = f"({', '.join(names)}) for each layer"
    if not isinstance(cells, Sequence) or not len(cells):
        raise ValueError(f"{layer}: cells must be a sequence of {wanted}, got {_shown(cells)}")
    for arrays in cells:
        if not isinstance(arrays, Sequence) or len(arrays) != len(names):
            raise ValueError(f"{layer}: cells must be {wanted}, got {_shown(arrays)}")
    dtype = check.float_dtype(layer, "Wx_l0", cells[0][0])
    G = f"{len(cell.gates)}*H"
    H = len(check.weights(layer, "Wh_l0", cells[0][1], ("H", G), dtype, as_they_lie=False))
    ready = []
    for k, arrays in enumerate(cells):
        D: Any = H if k else "D"
        ready.append(
            tuple(
                None
                if array is None and name == "bh"
                else check.weights(layer, f"{name}_l{k}", array, shape, dtype, as_they_lie=False)
                for (name, shape), array in zip(cell.shapes(D, H).items(), arrays, strict=False)
            )
        )
    first = ready[0][0]
    assert first is not None
    return ready, len(first), H, dtype


def readout_weights(
    layer: str, readout: Any, rows: int, dtype: DType
) -> tuple[Array, Array] | None:
    """Return Wc and bc; None stays None."""
    if readout is None:
        return None
    if not isinstance(readout, Sequence) or len(readout) != 2:
        raise ValueError(f"{layer}: readout must be (Wc, bc) or None, got {_shown(readout)}")
    Wc = check.array(layer, "Wc", readout[0], (rows, "R"), dtype, contiguous=True)
    return Wc, check.array(layer, "bc", readout[1], Wc.shape[1:], dtype, contiguous=True)


def _shown(value: Any) -> str:
    """Write what came in the place of a sequence of arrays."""
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, Sequence) else f"a {kind}"


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
        raise ValueError(f"{_NAME}: {name} must be {wanted}, got {_shown(states)}")
    return [
        check.array_or_zeros(_NAME, f"{name}[{i}]", state, shape, dtype, contiguous=True)
        for i, state in enumerate(states)
    ]
