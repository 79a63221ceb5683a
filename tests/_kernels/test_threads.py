"""The number of threads, calls from several Python threads, forks."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import VARIANTS, random_lengths, recurrent_problem

from fastrnn import _kernels
from fastrnn._kernels import team

LARGE = {"N": 64, "T": 4, "D": 65, "H": 64, "dtype": np.float32}


@pytest.fixture
def restored_threads():
    before = _kernels.get_num_threads()
    yield
    _kernels.set_num_threads(before)


def test_set_num_threads(restored_threads):
    for num_threads in (1, 3, np.int64(2)):
        _kernels.set_num_threads(num_threads)
        assert _kernels.get_num_threads() == num_threads == _kernels.cpu_info()["num_threads"]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, None, "two", "", [2]])
def test_set_num_threads_wants_a_positive_integer(restored_threads, wrong):
    _kernels.set_num_threads(3)
    with pytest.raises(ValueError, match=r"^set_num_threads: num_threads must be an integer"):
        _kernels.set_num_threads(wrong)
    assert _kernels.get_num_threads() == 3


def test_any_number_of_threads_gives_the_same_result(make_call, dtype):
    calls = [
        make_call(np.random.default_rng(1), 64, 64, dtype, num_threads=num_threads)
        for num_threads in (1, 2, 3, 1000)
    ]
    wanted, *others = (call() for call in calls)
    for results in others:
        np.testing.assert_equal(results, wanted)


@pytest.fixture(params=["rows", "units"])
def shared(request):
    team.share(request.param)
    yield request.param
    team.share("auto")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("N", "T", "H"), [(1, 60, 270), (3, 40, 200), (9, 20, 513)])
def test_sharing_rows_or_units_gives_the_same_result(isa, variant, N, T, H, dtype, shared):
    rng = np.random.default_rng(3)
    problem = recurrent_problem(variant, rng, N=N, T=T, D=45, H=H, dtype=dtype)
    lengths = random_lengths(rng, N, T)

    def call(num_threads):
        y, states, stash = problem.forward(_kernels, lengths=lengths, num_threads=num_threads)
        gradients = problem.backward(_kernels, stash, num_threads=num_threads)
        return [y, *states, *gradients.values()]

    wanted = call(1)
    for num_threads in (2, 3):
        np.testing.assert_equal(call(num_threads), wanted)


def test_what_is_shared_must_be_known():
    with pytest.raises(ValueError, match=r"^team: share must be auto, rows or units, got 'steps'"):
        team.share("steps")


def test_calls_from_several_python_threads(make_call):
    calls = [
        make_call(np.random.default_rng(seed), size, size, "float32", num_threads=1 + seed % 2)
        for seed, size in enumerate((3, 5, 17, 33, 64, 65))
    ]
    wanted = [call() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(lambda call: call(), calls))
            np.testing.assert_equal(results, wanted)


def results_of(problem):
    y, states, stash = problem.forward(_kernels, num_threads=2)
    return [y, *states, *problem.backward(_kernels, stash, num_threads=2).values()]


def check_in_child(problem, wanted):
    assert _kernels.get_num_threads() == 1
    np.testing.assert_equal(results_of(problem), wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_after_its_parent_used_threads():
    problem = recurrent_problem("lstm", np.random.default_rng(2), **LARGE)
    wanted = results_of(problem)
    child = multiprocessing.get_context("fork").Process(
        target=check_in_child, args=(problem, wanted)
    )
    child.start()
    child.join(timeout=60)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    np.testing.assert_equal(results_of(problem), wanted)
