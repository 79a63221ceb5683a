"""The base class of contenders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

from cases import Array


class Task(NamedTuple):
    """A function to time, and how to read its results as arrays for the comparison."""

    run: Callable[[], Any]
    read: Callable[[Any], Sequence[Array]]


class Contender:
    """A library that answers some of the questions: inference, training, step, attention, seq2seq,
    beam_search.

    The arrays that a task reads are, in this order:

    inference: y (N, T, H), then h (and c), (N, H)
    training: gradients of x, of the initial h (and c), then of Wx, Wh, b (and bh)
    step: h (and c), (N, H)
    attention: context, gradients of query, keys and values, then of the weights
    beam_search: the score of each word's best target
    seq2seq: the loss, then the clipped gradients of all parameters under fastrnn's names, sorted
    """

    name: ClassVar[str]
    cells: ClassVar[tuple[str, ...]] = ("rnn", "lstm", "gru", "gru_before")

    def __init__(self, threads: int) -> None:
        self.threads = threads

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    @classmethod
    def answers(cls, question: str, case: Any) -> bool:
        """Whether there is a task for this question and case."""
        return hasattr(cls, question) and getattr(case, "cell", cls.cells[0]) in cls.cells
