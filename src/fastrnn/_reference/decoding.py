"""Decoding: from the probabilities that a decoder gives, step by step, to sequences of tokens.

Each sentence is decoded on its own, so nothing that it gives can depend on the others of a batch.
A step is that of `decoder_step.py`; a number that is NaN is never the largest.

Beam search (Graves 2012, section 2.5; Sutskever et al. 2014, section 3.2) ranks what it has found
by the score of Wu et al. 2016, equation 14, of L tokens, the end mark among them, of which token j
gave the attention a_ij to the source's token i:

``score = log p / lp + cp``
``lp = ((5 + L) / 6) ** length_penalty``
``cp = coverage_penalty * sum_i log(min(sum_j a_ij, 1))``
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .sentences import Sentence, sentences
from .types import Array

# logits (V,), number of the sentence and of the step -> token
Choice: TypeAlias = "Callable[[Array, int, int], int]"
Followed: TypeAlias = "tuple[Array, Array, Array, Array | None]"


def decode_greedy(
    decoder: Any,
    states: list[Array],
    memory: Array | None,
    lengths: Array | None,
    constant: Array | None,
    *,
    start: Array,
    end: int | None,
    max_length: int,
    forced: Array | None,
    use_forced: Array | None,
    return_attention: bool,
    num_threads: int | None = None,
) -> Followed:
    """Choose the likeliest token at each step; see `_follow` for what is returned."""

    def likeliest(logits: Array, n: int, t: int) -> int:
        return int(_by_falling(logits)[0])

    batch = sentences(decoder, states, memory, lengths, constant)
    choose = _unless_forced(likeliest, forced, use_forced)
    return _follow(batch, choose, start, end, max_length, memory if return_attention else None)


def decode_sample(
    decoder: Any,
    states: list[Array],
    memory: Array | None,
    lengths: Array | None,
    constant: Array | None,
    *,
    start: Array,
    end: int | None,
    max_length: int,
    forced: Array | None,
    use_forced: Array | None,
    return_attention: bool,
    seeds: Array,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    num_threads: int | None = None,
) -> Followed:
    """Draw each token, sentence n by the numbers of ``seeds[n]``; returned is as of `_follow`."""

    def drawn(logits: Array, n: int, t: int) -> int:
        return _draw(logits, _uniform(int(seeds[n]), t), temperature, top_k, top_p)

    batch = sentences(decoder, states, memory, lengths, constant)
    choose = _unless_forced(drawn, forced, use_forced)
    return _follow(batch, choose, start, end, max_length, memory if return_attention else None)


def _unless_forced(choose: Choice, forced: Array | None, use_forced: Array | None) -> Choice:
    """Take the given token where `use_forced` says so."""
    if forced is None or use_forced is None:
        return choose
    return lambda logits, n, t: int(forced[n, t]) if use_forced[n, t] else choose(logits, n, t)


def _follow(
    batch: list[Sentence],
    choose: Choice,
    start: Array,
    end: int | None,
    max_length: int,
    attended: Array | None,
) -> Followed:
    """Feed to each sentence what was chosen, until that is the end mark.

    Returns
    -------
    tokens : (N, T) int64
        T is the length of the longest; past its end mark a row holds zeros.
    lengths : (N,) int64
        Numbers of tokens, end marks included.
    log_probability : (N,) float64
        Of all tokens of a sentence.
    attention : (N, T, S) or None
        To the memory `attended`, if given; zeros past the end mark.
    """
    chosen, totals, rows = [], np.zeros(len(batch)), []
    for n, sentence in enumerate(batch):
        token, state = int(start[n]), sentence.start
        tokens: list[int] = []
        while len(tokens) < max_length and end not in tokens[-1:]:
            (logits,), state, (attention,) = sentence.step(np.array([token]), state)
            token = choose(logits, n, len(tokens))
            totals[n] += _log_softmax(logits)[token]
            tokens.append(token)
            rows.append(attention)
        chosen.append(tokens)
    lengths = np.array([len(tokens) for tokens in chosen], np.int64)
    own = np.arange(lengths.max(initial=0)) < lengths[:, None]
    all_tokens = np.zeros(own.shape, np.int64)
    all_tokens[own] = [token for tokens in chosen for token in tokens]
    if attended is None:
        return all_tokens, lengths, totals, None
    all_rows = np.zeros((*own.shape, attended.shape[1]), attended.dtype)
    if rows:
        all_rows[own] = rows
    return all_tokens, lengths, totals, all_rows


def _by_falling(values: Array) -> Array:
    """Return the places of the values from the largest on, of equal ones the first first."""
    order: Array = np.argsort(-values, kind="stable")  # which puts NaN last
    return order


def _log_softmax(logits: Array) -> Array:
    """Return log p, in float64 along the last axis."""
    logits = logits.astype(np.float64)
    top = np.fmax.reduce(logits, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = logits - top  # first: beside 1e16, the logarithm is lost
        result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _uniform(seed: int, t: int) -> float:
    """Return number t of a seed's sequence in [0, 1): SplitMix64 (Steele, Lea and Flood 2014)."""
    mask = 2**64 - 1
    z = (seed + (t + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return ((z ^ (z >> 31)) >> 11) / 2**53


def _draw(
    logits: Array, u: float, temperature: float, top_k: int | None, top_p: float | None
) -> int:
    """Invert the cumulative distribution of softmax(logits / temperature) at u.

    Tokens come in the order of falling probability. The `top_k` first of them stay (Fan et al.
    2018, section 5.4), then the fewest that together have at least the share `top_p` of the
    probability (Holtzman et al. 2020, equation 2).
    """
    order = _by_falling(logits)
    with np.errstate(invalid="ignore", over="ignore"):
        falling = logits[order].astype(np.float64)
        weights = np.nan_to_num(np.exp((falling - falling[0]) / temperature))
    kept = max(1, int(np.count_nonzero(weights)))
    if top_k is not None:
        kept = min(kept, top_k)
    if top_p is not None:
        below = np.cumsum(weights[:kept])
        kept = 1 + int(np.searchsorted(below, top_p * below[-1]))
    below = np.cumsum(weights[:kept])
    number = int(np.searchsorted(below, u * below[-1], side="right"))
    return int(order[min(number, kept - 1)])


@dataclass(frozen=True)
class _Penalties:
    length: float
    coverage: float

    def score(self, tokens: int, log_probability: float, coverage: Array) -> float:
        """Return the score, given how much attention each of the source's tokens got."""
        score = log_probability / self.lp(tokens)
        if self.coverage:
            with np.errstate(divide="ignore", over="ignore"):
                score += self.coverage * np.log(np.minimum(coverage, 1)).sum()
        return float(score)

    def lp(self, tokens: int) -> float:
        # No tokens have the probability 1, whatever divides: let it not become 0.
        with np.errstate(over="ignore"):
            return float(np.float64((5 + max(tokens, 1)) / 6) ** self.length)


class _Hypothesis(NamedTuple):
    """The beginning of a target."""

    tokens: tuple[int, ...] = ()
    log_probability: float = 0.0
    attention: tuple[Array, ...] = ()


class _Result(NamedTuple):
    hypothesis: _Hypothesis
    score: float
    finished: bool


def decode_beam(
    decoder: Any,
    states: list[Array],
    memory: Array | None,
    lengths: Array | None,
    constant: Array | None,
    *,
    start: Array,
    end: int,
    max_length: int,
    beam_size: int,
    n_best: int,
    length_penalty: float,
    coverage_penalty: float,
    return_attention: bool,
    num_threads: int | None = None,
) -> list[list[tuple[Array, float, float, bool, Array | None]]]:
    """Return the `n_best` results of each sentence, the best first.

    Each is (tokens (T,) int64 without the end mark, score, log probability, whether there was an
    end mark, attention (T, S) or None).
    """
    limits = end, max_length, beam_size, n_best, _Penalties(length_penalty, coverage_penalty)
    batch = sentences(decoder, states, memory, lengths, constant)
    return [
        [_shown(found, own.memory, return_attention) for found in _search(own, int(first), *limits)]
        for own, first in zip(batch, start, strict=True)
    ]


def _search(
    sentence: Sentence,
    start: int,
    end: int,
    max_length: int,
    beam_size: int,
    n_best: int,
    penalties: _Penalties,
) -> list[_Result]:
    """Search the best targets of one sentence.

    Of all continuations of the running hypotheses by a token, the `beam_size` likeliest without the
    end mark run on; those with the end mark finish that are among the `beam_size` likeliest of all.
    The search is over when no running hypothesis can come to be one of the `n_best`.
    """
    running, state, best = [_Hypothesis()], sentence.start, list[_Result]()
    for _ in range(max_length):
        fed = [hypothesis.tokens[-1] if hypothesis.tokens else start for hypothesis in running]
        logits, state, attention = sentence.step(np.array(fed), state)
        grown = list(_continuations(running, _log_softmax(logits), attention))
        if not grown:
            break
        for _, hypothesis in grown[:beam_size]:
            if hypothesis.tokens[-1] == end:
                _enter(best, n_best, hypothesis, True, sentence, penalties)
        unfinished = [pair for pair in grown if pair[1].tokens[-1] != end][:beam_size]
        running = [hypothesis for _, hypothesis in unfinished]
        state = state.rows([parent for parent, _ in unfinished])
        if not running:
            return best
        # The first is the likeliest; at best it loses no probability, becomes as long as may be,
        # and covers the source.
        bound = running[0].log_probability / penalties.lp(max_length)
        if len(best) == n_best and bound <= best[-1].score:
            return best
    for hypothesis in running:
        _enter(best, n_best, hypothesis, False, sentence, penalties)
    return best


def _continuations(
    running: list[_Hypothesis], log_softmax: Array, attention: Array
) -> Iterator[tuple[int, _Hypothesis]]:
    """Give every hypothesis longer by a token, and its parent's number, the likeliest first.

    Of equally likely ones the earlier parent's come first, then the lower tokens. What has the
    probability 0, or none, is none.
    """
    V = log_softmax.shape[1]
    before = np.array([hypothesis.log_probability for hypothesis in running])
    total = (before[:, None] + log_softmax).ravel()
    for place in _by_falling(total):
        if not total[place] > -np.inf:
            return
        parent, token = divmod(int(place), V)
        tokens, _, rows = running[parent]
        yield (
            parent,
            _Hypothesis((*tokens, token), float(total[place]), (*rows, attention[parent])),
        )


def _enter(
    best: list[_Result],
    n_best: int,
    hypothesis: _Hypothesis,
    finished: bool,
    sentence: Sentence,
    penalties: _Penalties,
) -> None:
    """Put a hypothesis among the best; of equal scores the first to come is the better."""
    tokens, log_probability, rows = hypothesis
    attention = np.reshape(rows, (len(tokens), sentence.memory.shape[1])).astype(np.float64)
    coverage = attention[:, : sentence.length[0]].sum(axis=0)
    score = penalties.score(len(tokens), log_probability, coverage)
    best.append(_Result(hypothesis, score, finished))
    best.sort(key=lambda result: -result.score)
    del best[n_best:]


def _shown(
    result: _Result, memory: Array, return_attention: bool
) -> tuple[Array, float, float, bool, Array | None]:
    """Return a result as `decode_beam` does: without its end mark."""
    (tokens, log_probability, rows), score, finished = result
    length, attention = len(tokens) - finished, None
    if return_attention:
        attention = np.array(rows[:length], memory.dtype).reshape(length, memory.shape[1])
    return np.array(tokens[:length], np.int64), score, log_probability, finished, attention
