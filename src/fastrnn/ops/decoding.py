"""Decoding: the tokens that a decoder gives, greedily, by beam search or by sampling.

Each function runs the whole loop in one call of the backend. A sentence gets exactly what it gets
alone, whatever else is in the batch and in whatever order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn._renamed import renamed, warn
from fastrnn.ops import _backend
from fastrnn.ops.decoder_weights import (
    DecoderWeights,
    check_attention,
    check_cells,
    check_input_width,
)

CONTEXTS = ("output", "input_feeding", "input")
"""Where a decoder uses the context: after its cells, and fed back or not, or before them."""

MOST_BEAMS = 4096
"""The widest beam."""

_SEEDS = 2**63 - 1
_STEP_OF_SEEDS = 0x9E3779B97F4A7C15  # by which SplitMix64 goes on from one number to the next
_OWNER = "Decoder"
_Arguments: TypeAlias = (
    "tuple[DecoderWeights, list[Array], Array | None, Array | None, Array | None]"
)


class Decoded(NamedTuple):
    """One target for each of N sentences.

    Attributes
    ----------
    tokens : array of int64 (N, T)
        T is the length of the longest; past its end mark a row holds zeros.
    lengths : array of int64 (N,)
        Numbers of tokens, end marks included.
    log_probability : array of float64 (N,)
        The natural logarithm of the probability of all tokens of a sentence.
    attention : array (N, T, S) or None
        The attention weights of the memory when a token was chosen; zeros past the end mark.
    """

    tokens: Array
    lengths: Array
    log_probability: Array
    attention: Array | None

    @property
    def alignment(self) -> Array | None:
        """The old name of ``attention``."""
        warn("Decoded: alignment is now called attention")
        return self.attention


class Hypothesis(NamedTuple):
    """One of the targets that a beam search found for a sentence.

    Attributes
    ----------
    tokens : array of int64 (T,)
        Without the end mark.
    score : float
        What hypotheses are ranked by; see `decode_beam`.
    log_probability : float
        The natural logarithm of the probability of all tokens, the end mark included.
    finished : bool
        Whether it came to an end mark.
    attention : array (T, S) or None
        The attention weights of the memory when a token was chosen.
    """

    tokens: Array
    score: float
    log_probability: float
    finished: bool
    attention: Array | None


@renamed(return_alignment="return_attention")
def decode_greedy(
    weights: DecoderWeights,
    states: Sequence[Any],
    *,
    memory: Any = None,
    lengths: Any = None,
    constant: Any = None,
    start: Any = 1,
    end: int | None = 2,
    max_length: int = 100,
    exclude: Any = None,
    forced: Any = None,
    use_forced: Any = None,
    return_attention: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> Decoded:
    """Choose the likeliest token at each step; of equally likely ones the first.

    Parameters
    ----------
    weights : DecoderWeights
        The decoder.
    states : sequence of arrays (L, N, H)
        The states of all layers before the first step: ``[h]``, for "lstm" ``[h, c]``.
    memory : array (N, S, M), optional
        What attention is paid to: keys and values in one.
    lengths : integer array (N,), optional
        Numbers of steps of the memory, 0 to S; the default is S.
    constant : array (N, P), optional
        What joins the input and the features at each step.
    start : int or integer array (N,)
        The token that is fed first.
    end : int, optional
        The end mark, after which a sentence is over; None: there is none.
    max_length : int
        Most tokens of a sentence, the end mark included.
    exclude : boolean array (V,), optional
        Which tokens are never chosen; their probability is 0.
    forced, use_forced : integer and boolean array (N, max_length), optional
        Where the latter is True, the token is that of the former. So the tokens returned are those
        fed to the decoder after `start`, as scheduled sampling needs them (Bengio et al. 2015).
    return_attention : bool
        Whether to return the attention weights.
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    Decoded

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a token or an option is wrong, or options contradict each other;
        TypeError if a type or a dtype is.
    """
    arguments, N, V = _arguments(weights, states, memory, lengths, constant, exclude)
    options = _options(N, V, memory, start, end, max_length, return_attention, num_threads)
    options |= _forced(forced, use_forced, (N, options["max_length"]), V)
    return Decoded(*_backend.get(backend).decode_greedy(*arguments, **options))


@renamed(return_alignment="return_attention")
def decode_sample(
    weights: DecoderWeights,
    states: Sequence[Any],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: Any = None,
    first: int = 0,
    memory: Any = None,
    lengths: Any = None,
    constant: Any = None,
    start: Any = 1,
    end: int | None = 2,
    max_length: int = 100,
    exclude: Any = None,
    forced: Any = None,
    use_forced: Any = None,
    return_attention: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> Decoded:
    """Draw each token from softmax(logits / temperature).

    Parameters
    ----------
    weights, states, memory, lengths, constant, start, end, max_length, exclude, forced, use_forced
        As for `decode_greedy`.
    temperature : float
        From 0, which is `decode_greedy`; below 1 the likely tokens become likelier.
    top_k : int, optional
        Draw only from so many of the likeliest tokens (Fan et al. 2018, section 5.4).
    top_p : float, optional
        Then draw only from the fewest of the likeliest tokens that have at least this share of the
        probability left, in (0, 1] (Holtzman et al. 2020, section 3.1).
    seed : int or integer array (N,), optional
        What the draws of each sentence depend on, and they depend on nothing else: with one seed
        for all, equal sentences give equal tokens. The default is a new seed for each.
    first : int
        How many tokens of the same seeds were drawn before, to go on where another call ended.
    return_attention, num_threads, backend
        As for `decode_greedy`.

    Returns
    -------
    Decoded
        The probability is the one without temperature, `top_k` and `top_p`.

    Raises
    ------
    ValueError, TypeError
        As `decode_greedy`.
    """
    arguments, N, V = _arguments(weights, states, memory, lengths, constant, exclude)
    options = _options(N, V, memory, start, end, max_length, return_attention, num_threads)
    options |= _forced(forced, use_forced, (N, options["max_length"]), V)
    drawing = _drawing(N, temperature, top_k, top_p, seed, first)
    module = _backend.get(backend)
    if drawing["temperature"] == 0:
        return Decoded(*module.decode_greedy(*arguments, **options))
    return Decoded(*module.decode_sample(*arguments, **(options | drawing)))


@renamed(return_alignment="return_attention")
def decode_beam(
    weights: DecoderWeights,
    states: Sequence[Any],
    *,
    beam_size: int = 5,
    n_best: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    memory: Any = None,
    lengths: Any = None,
    constant: Any = None,
    start: Any = 1,
    end: int = 2,
    max_length: int = 100,
    exclude: Any = None,
    return_attention: bool = False,
    num_threads: int | None = None,
    backend: str | None = None,
) -> list[list[Hypothesis]]:
    """Search the targets of the best scores.

    Of all continuations of the running hypotheses by a token, the `beam_size` likeliest without an
    end mark run on; those with the end mark finish that are among the `beam_size` likeliest of all.
    A sentence is over when no running hypothesis can come to be one of its `n_best`, or at
    `max_length`, where the running ones compete as they are.

    The score of T tokens, the end mark included, of which token j gave the attention a_ij to step i
    of the memory (Wu et al. 2016, equation 14)::

        log_probability / ((5 + T) / 6) ** length_penalty
            + coverage_penalty * sum_i log(min(sum_j a_ij, 1))

    Parameters
    ----------
    weights, states, memory, lengths, constant, start, end, max_length, exclude
        As for `decode_greedy`; there must be an end mark.
    beam_size : int
        From 1, which finds what `decode_greedy` finds if there are no penalties, to 4096.
    n_best : int
        How many hypotheses to return for each sentence, at most `beam_size`.
    length_penalty, coverage_penalty : float
        From 0. The larger, the less is a long target at a disadvantage; the more one that leaves
        parts of the memory without attention. The latter needs attention.
    return_attention, num_threads, backend
        As for `decode_greedy`.

    Returns
    -------
    list of lists of Hypothesis
        For each sentence its best, the best first: `n_best` of them, or as many as there are.

    Raises
    ------
    ValueError, TypeError
        As `decode_greedy`.
    """
    arguments, N, V = _arguments(weights, states, memory, lengths, constant, exclude)
    if end is None:
        raise TypeError(f"{_OWNER}: end must be a token in a beam search, got None")
    options = _options(N, V, memory, start, end, max_length, return_attention, num_threads)
    options |= _searching(memory, beam_size, n_best, length_penalty, coverage_penalty)
    found = _backend.get(backend).decode_beam(*arguments, **options)
    return [[Hypothesis(*fields) for fields in results] for results in found]


def _arguments(
    weights: Any, states: Any, memory: Any, lengths: Any, constant: Any, exclude: Any
) -> tuple[_Arguments, int, int]:
    """Check the decoder and what it starts from; return numbers of sentences and tokens, too."""
    decoder, D, H, dtype = check_cells(_OWNER, weights)
    cells, names = decoder.cells, decoder.row.states
    if len({len([array for array in cell if array is None]) for cell in cells}) > 1:
        raise ValueError(f"{_OWNER}: bh must be given for all layers or for none, got a mixture")
    if not isinstance(states, Sequence) or len(states) != len(names):
        came = f"{len(states)}" if isinstance(states, Sequence) else type(states).__name__
        wanted = f"[{', '.join(names)}]"
        raise ValueError(f"{_OWNER}: states must be {wanted} for {decoder.row.name}, got {came}")
    shape: check.Shape = (len(cells), "N", H)
    ready = []
    for name, state in zip(names, states, strict=True):
        ready.append(check.array(_OWNER, name, state, shape, dtype, contiguous=True))
        shape = ready[0].shape
    N = ready[0].shape[1]
    memory, lengths = _memory(decoder.context, memory, lengths, N, dtype)
    if constant is not None:
        constant = check.array(_OWNER, "constant", constant, (N, "P"), dtype, contiguous=True)
    M = 0 if memory is None else memory.shape[2]
    P = 0 if constant is None else constant.shape[1]
    decoder, F = check_attention(_OWNER, decoder, H, M, dtype)
    embedding = check.array(
        _OWNER, "embedding", decoder.embedding, ("V", "E"), dtype, contiguous=True
    )
    V, E = embedding.shape
    fed = {"input_feeding": {"fed": F}, "input": {"context": M}}.get(decoder.context or "", {})
    check_input_width(_OWNER, D, {"embedding": E} | ({"constant": P} if P else {}) | fed)
    output = _classifier(decoder.output, F + P, V, exclude, dtype)
    decoder = replace(decoder, embedding=embedding, output=output)
    return (decoder, ready, memory, lengths, constant), N, V


def _memory(
    context: str | None, memory: Any, lengths: Any, N: int, dtype: check.DType
) -> tuple[Array | None, Array | None]:
    """Check what is attended to."""
    if context is not None:
        check.option(_OWNER, "context", context, CONTEXTS)
    if (memory is None) != (context is None):
        wanted, came = ("None", "an array") if context is None else ("an array", "None")
        raise ValueError(f"{_OWNER}: memory must be {wanted} for context {context!r}, got {came}")
    if memory is not None:
        memory = check.array(_OWNER, "memory", memory, (N, "T", "M"), dtype, contiguous=True)
        return memory, check.lengths(_OWNER, lengths, *memory.shape[:2])
    if lengths is not None:
        raise ValueError(f"{_OWNER}: lengths must be None without a memory, got some")
    return None, None


def _classifier(
    output: Any, features: int, V: int, exclude: Any, dtype: check.DType
) -> tuple[Array, Array]:
    """Check matrix and bias, and give excluded tokens a logit of minus infinity."""
    if not isinstance(output, Sequence) or len(output) != 2:
        came = type(output).__name__
        raise ValueError(f"{_OWNER}: output must be a matrix and its bias, got a {came}")
    W = check.weights(_OWNER, "output[0]", output[0], (features, V), dtype, as_they_lie=False)
    b = check.array(_OWNER, "output[1]", output[1], (V,), dtype, contiguous=True)
    if exclude is not None:
        excluded = check.mask(_OWNER, "exclude", exclude, (V,))
        if excluded.all():
            raise ValueError(f"{_OWNER}: exclude must leave one of the {V} tokens")
        b = np.where(excluded, b.dtype.type(-np.inf), b)
    return W, b


def _options(
    N: int,
    V: int,
    memory: Any,
    start: Any,
    end: Any,
    max_length: Any,
    return_attention: bool,
    num_threads: Any,
) -> dict[str, Any]:
    """Check where sentences begin and end, and what is wanted of them."""
    starts = np.broadcast_to(start, (N,)) if _is_single(start) else start
    if end is not None and not 0 <= check.integer(_OWNER, "end", end) < V:
        raise ValueError(f"{_OWNER}: end must be in 0..{V - 1}, got {end}")
    if return_attention and memory is None:
        raise ValueError(f"{_OWNER}: return_attention needs attention, context is None")
    return {
        "start": check.integers(_OWNER, "start", starts, (N,), V),
        "end": None if end is None else int(end),
        "max_length": check.size(_OWNER, "max_length", max_length),
        "return_attention": bool(return_attention),
        "num_threads": check.threads(_OWNER, num_threads),
    }


def _is_single(value: Any) -> bool:
    """Tell one value for all sentences from an array or a sequence, which may be ragged."""
    return value.ndim == 0 if isinstance(value, np.ndarray) else not isinstance(value, Sequence)


def _forced(forced: Any, use_forced: Any, shape: tuple[int, int], V: int) -> dict[str, Any]:
    """Check the tokens that are taken instead of the decoder's own."""
    if (forced is None) != (use_forced is None):
        raise ValueError(f"{_OWNER}: forced and use_forced must come together, got one of them")
    if forced is not None:
        forced = check.integers(_OWNER, "forced", forced, shape, V)
        use_forced = check.mask(_OWNER, "use_forced", use_forced, shape)
    return {"forced": forced, "use_forced": use_forced}


def _drawing(
    N: int, temperature: Any, top_k: Any, top_p: Any, seed: Any, first: Any
) -> dict[str, Any]:
    """Check what sampling takes."""
    if seed is None:
        seeds = np.random.default_rng().integers(_SEEDS, size=N)
    elif _is_single(seed):
        seeds = np.full(N, check.size(_OWNER, "seed", seed, least=0))
    else:
        seeds = check.integers(_OWNER, "seed", seed, (N,), _SEEDS)
    drawn = check.size(_OWNER, "first", first, least=0) * _STEP_OF_SEEDS % 2**64
    return {
        "seeds": (seeds.astype(np.uint64) + np.uint64(drawn)).view(np.int64),
        "temperature": check.nonnegative(_OWNER, "temperature", temperature),
        "top_k": None if top_k is None else check.size(_OWNER, "top_k", top_k),
        "top_p": None if top_p is None else check.fraction(_OWNER, "top_p", top_p),
    }


def _searching(
    memory: Any, beam_size: Any, n_best: Any, length_penalty: Any, coverage_penalty: Any
) -> dict[str, Any]:
    """Check what a beam search takes."""
    beam_size = check.size(_OWNER, "beam_size", beam_size)
    if beam_size > MOST_BEAMS:
        raise ValueError(f"{_OWNER}: beam_size must be at most {MOST_BEAMS}, got {beam_size}")
    n_best = check.size(_OWNER, "n_best", n_best)
    if n_best > beam_size:
        raise ValueError(f"{_OWNER}: n_best must be at most beam_size, {beam_size}, got {n_best}")
    coverage = check.nonnegative(_OWNER, "coverage_penalty", coverage_penalty)
    if coverage and memory is None:
        raise ValueError(f"{_OWNER}: coverage_penalty needs attention, got {coverage} without")
    return {
        "beam_size": beam_size,
        "n_best": n_best,
        "length_penalty": check.nonnegative(_OWNER, "length_penalty", length_penalty),
        "coverage_penalty": coverage,
    }
