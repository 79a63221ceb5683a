"""Common code of the benchmarks and the report: numbers of threads and checks of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cases import Array
from contenders import Contender, Task, installed
from contenders.fastrnn_reference import Reference

TOLERANCE = 1e-4


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Limit the threads of NumPy's BLAS, which the reference uses."""
    with threadpool_limits(count, user_api="blas"):
        yield


def entrants(question: str, case: Any) -> list[type[Contender]]:
    """The installed contenders that answer a question for a case."""
    return [kind for kind in installed() if kind.answers(question, case)]


def checked_task(kind: type[Contender], question: str, case: Any, threads: int) -> Task:
    """The task of a contender, after a check of its results against the reference's.

    Raises
    ------
    AssertionError
        If an array differs by more than `TOLERANCE` of the largest magnitude in it.
    """
    task: Task = getattr(kind(threads), question)(case)
    found = [np.array(array) for array in task.read(task.run())]
    for number, (array, wanted) in enumerate(
        zip(found, _wanted(question, case, threads), strict=True), start=1
    ):
        what = f"{kind.name}, {question}, {case}: result {number}"
        assert array.shape == wanted.shape, f"{what} has shape {array.shape}, not {wanted.shape}"
        error = np.abs(array - wanted).max() / np.abs(wanted).max()
        assert error <= TOLERANCE, f"{what} is off by {error:.2g}"
    return task


@lru_cache(maxsize=1)
def _wanted(question: str, case: Any, threads: int) -> list[Array]:
    task = getattr(Reference(threads), question)(case)
    return [np.array(array) for array in task.read(task.run())]


def comparison(question: str, cases: Sequence[Any]) -> Any:
    """A test that times every contender on every case, in one group for each case."""
    pairs = [
        pytest.param(case, kind, id=f"{case}-{kind.name}")
        for case in cases
        for kind in entrants(question, case)
    ]

    @pytest.mark.parametrize(("case", "kind"), pairs)
    def test(case: Any, kind: type[Contender], threads: int, benchmark: Any) -> None:
        benchmark.group = f"{question}: {case}"
        benchmark(checked_task(kind, question, case, threads).run)

    return test
