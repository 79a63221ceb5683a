"""The caches of the processor, and the plans of products, which change no bit."""

from __future__ import annotations

import numpy as np
import pytest
from support.problems import VARIANTS, recurrent_problem

from fastrnn import _kernels
from fastrnn._kernels.runtime import cpu
from fastrnn._kernels.runtime.processor import KINDS, Caches, find_caches, parse_caches, plan_for

PLANS = ("1K,4K,64K", "3K,512K,8M", "32K,256K,4M", "48K,2M,32M")


@pytest.fixture
def forced():
    """Make the plans of other caches, until the test ends."""
    before = cpu.caches()
    yield lambda text: cpu.plan_products(parse_caches(text))
    cpu.plan_products(before)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("32K,512K,8M", (32 << 10, 512 << 10, 8 << 20)),
        ("49152, 1M ,1048576", (48 << 10, 1 << 20, 1 << 20)),
    ],
)
def test_sizes_are_read(text, wanted, monkeypatch):
    monkeypatch.setenv("FASTRNN_CACHES", text)
    assert find_caches() == wanted


@pytest.mark.parametrize(
    "text",
    ["32K", "32K,512K", "32K,512K,8M,1", "32K,512K,0", "a,b,c", "32k,512k,8m", "-1,2,3", ",,"],
)
def test_wrong_sizes_are_one_clear_line(text, monkeypatch):
    monkeypatch.setenv("FASTRNN_CACHES", text)
    with pytest.raises(ValueError, match=r"^FASTRNN_CACHES must be .*got ") as error:
        find_caches()
    assert repr(text) in str(error.value)


def test_the_system_is_asked(monkeypatch):
    monkeypatch.delenv("FASTRNN_CACHES", raising=False)
    found = find_caches()
    assert 8 << 10 <= found.l1 <= found.l2 <= 1 << 30


def test_every_processor_has_a_plan():
    for simd in cpu.INSTRUCTION_SETS:
        for text in PLANS:
            plan = plan_for(simd, 4, parse_caches(text))
            assert 1 <= plan.rows <= 96
            assert plan_for(simd, 8, parse_caches(text)).depth <= plan.depth
    assert plan_for("avx512", 4, Caches(32 << 10, 1 << 20, 1 << 24)).rows == KINDS[0].rows


def test_the_plan_in_use_is_told(isa, forced):
    forced("48K,2M,32M")
    info = _kernels.cpu_info()
    assert info["caches"] == {"l1": 48 << 10, "l2": 2 << 20, "l3": 32 << 20}
    assert info["plan"] == plan_for(isa, 4, cpu.caches())._asdict()


def results_of(problem):
    """Return the arrays of a forward and a backward, and those of inference."""
    y, finals, stash = problem.forward(_kernels)
    alone, last, _ = problem.forward(_kernels, train=False)
    return [y, *finals, alone, *last, *problem.backward(_kernels, stash).values()]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sizes", [(1, 40, 70), (7, 150, 33), (101, 20, 50)])
def test_no_bit_depends_on_the_plan(isa, dtype, variant, sizes, forced):
    N, D, H = sizes
    problem = recurrent_problem(variant, np.random.default_rng(0), N=N, D=D, H=H, dtype=dtype)
    forced(PLANS[0])
    wanted = results_of(problem)
    for text in PLANS[1:]:
        forced(text)
        for found, array in zip(results_of(problem), wanted, strict=True):
            np.testing.assert_array_equal(found, array)
