"""Timing of the cases: checked results, then all contenders and the machine's limits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import limits
from contenders.fastrnn_compiled import Fastrnn
from contenders.fastrnn_reference import Reference
from harness import blas_threads, checked_task, entrants
from records import Record
from rounds import interleaved


class Effort(NamedTuple):
    """The number of rounds of a cell, and the minimum seconds of a sample in each."""

    rounds: int
    sample: float


def timed(
    question: str,
    case: Any,
    threads: int,
    effort: Effort,
    names: Collection[str] | None = None,
) -> Record:
    """Time a case and the machine's limits for it, with the named contenders or all.

    All do not include the reference, which would take most of the time.
    """
    kinds = [
        kind
        for kind in entrants(question, case)
        if (kind is not Reference if names is None else kind.name in names)
    ]
    with blas_threads(threads):
        runs = {kind.name: checked_task(kind, question, case, threads).run for kind in kinds}
        record = Record(question, str(case), threads, {})
        bounds = _bounds(record)
        runs |= {name: bound.run for name, bound in bounds.items()}
        seconds = interleaved(runs, *effort, threads)
    rates = {name: bound.amount / seconds.pop(name) for name, bound in bounds.items()}
    return replace(record, figures=seconds, limits=rates)


def against_numpy(question: str, case: Any, effort: Effort) -> Record:
    """Time fastrnn and the reference on one thread."""
    record = timed(question, case, 1, effort, (Fastrnn.name, Reference.name))
    return Record("numpy", f"{question}: {case}", 1, record.figures)


def _bounds(record: Record) -> dict[str, limits.Limit]:
    """The limits of a layer's products, and of reading the weights if a step has one row."""
    if record.layer is None:
        return {}
    found = {"multiply-adds": limits.multiply_adds(record.threads)}
    if record.layer.N == 1:
        found["reads"] = limits.reads(record.streamed_bytes, record.threads)
    return {name: bound for name, bound in found.items() if bound is not None}
