"""Frozen stacks: the bits of the kernels on loose weights, and refusals without any effect."""

from __future__ import annotations

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_lengths
from support.problems import VARIANTS
from support.stacks import random_stack
from support.written_cells import PROGRAMS

from fastrnn import _kernels
from fastrnn._kernels.runtime import cpu

WIDTHS = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65])
EXAMPLES = settings(deadline=None, max_examples=15)


@dataclass
class Stack:
    """Random cells on top of each other, loose and frozen, with inputs and a state for them."""

    problems: list[Any]  # layer by layer, in each the forward direction first
    directions: int
    x: np.ndarray
    state: Any
    residual: bool

    def __post_init__(self):
        first = self.problems[0]
        weights = [problem.cell_weights() for problem in self.problems]
        self.owners = [array for arrays in weights for array in arrays if array is not None]
        for array in self.owners:
            array.flags.writeable = False
        self.frozen = _kernels.recurrent_freeze(
            first.cell,
            weights,
            options=first.options,
            directions=self.directions,
            residual=self.residual,
            owners=self.owners,
        )

    def parts(self, state):
        return state if isinstance(state, tuple) else (state,)

    def join(self, parts):
        return tuple(parts) if isinstance(self.state, tuple) else parts[0]

    def loose_forward(self, x, state, lengths=None):
        finals = []
        for layer in range(0, len(self.problems), self.directions):
            halves = []
            for direction in range(self.directions):
                states = [part[layer + direction] for part in self.parts(state)]
                problem = self.problems[layer + direction]
                problem = replace(problem, x=x, states=dict(enumerate(states)))
                y, final, _ = problem.forward(
                    _kernels, lengths=lengths, reverse=direction == 1, train=False
                )
                halves.append(y)
                finals.append(final)
            own = np.ascontiguousarray(np.concatenate(halves, axis=2))
            x = own + x if self.residual and layer >= 2 * self.directions else own
        return x, self.join([np.stack(part) for part in zip(*finals, strict=True)])

    def loose_step(self, x, state):
        news = []
        for index, problem in enumerate(self.problems):
            states = tuple(part[index] for part in self.parts(state))
            news.append(problem.step(_kernels, x, states))
            own = news[-1][0]
            x = own + x if self.residual and index >= 2 else own
        return x, self.join([np.stack(part) for part in zip(*news, strict=True)])


def stack(variant, dtype, seed=1, *, N=2, T=3, D=5, H=7, layers=2, directions=1, residual=False):
    sizes = {"N": N, "T": T, "D": D, "H": H, "layers": layers, "directions": directions}
    problems, state = random_stack(variant, np.random.default_rng(seed), **sizes, dtype=dtype)
    return Stack(problems, directions, problems[0].x, state, residual)


STACKS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "N": st.integers(1, 14),
        "T": st.integers(1, 4),
        "D": WIDTHS,
        "H": WIDTHS,
        "layers": st.integers(1, 4),
        "residual": st.booleans(),
    }
)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
@given(sizes=STACKS, zeros=st.booleans())
@EXAMPLES
def test_steps_are_those_of_loose_weights(variant, dtype, sizes, zeros):
    s = stack(variant, dtype, **sizes)
    state = wanted_state = s.join([np.zeros_like(part) for part in s.parts(s.state)])
    if zeros:
        state = None
    else:
        state = wanted_state = s.state
    for t in range(sizes["T"]):
        x = s.x[:, t].copy()
        y, state = s.frozen.step(x, state, None)
        wanted, wanted_state = s.loose_step(x, wanted_state)
        np.testing.assert_equal((y, state), (wanted, wanted_state))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
@given(sizes=STACKS, directions=st.integers(1, 2), ragged=st.booleans())
@EXAMPLES
def test_forward_is_that_of_loose_weights(variant, dtype, sizes, directions, ragged):
    s = stack(variant, dtype, **sizes, directions=directions)
    N, T = sizes["N"], sizes["T"]
    lengths = random_lengths(np.random.default_rng(2), N, T) if ragged else None
    result = s.frozen.forward(s.x, s.state, lengths, None)
    np.testing.assert_equal(result, s.loose_forward(s.x, s.state, lengths))
    strided = np.repeat(s.x, 2, axis=1)[:, ::2]
    np.testing.assert_equal(s.frozen.forward(strided, s.state, lengths, 1), result)


@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_steps_on_several_threads(variant):
    s = stack(variant, "float32", N=40, D=300, H=200)
    x = s.x[:, 0].copy()
    np.testing.assert_equal(s.frozen.step(x, s.state, None), s.loose_step(x, s.state))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_step_in_place(variant, dtype, layers):
    width = stack(variant, dtype, H=7).problems[0].dy.shape[2]
    s = stack(variant, dtype, D=width, H=7, layers=layers)
    y, state = wanted = s.x[:, 0].copy(), s.join([part.copy() for part in s.parts(s.state)])
    for _ in range(3):
        wanted = s.loose_step(*wanted)
        out = (y, state)
        assert s.frozen.step(y, state, out) is out  # x itself receives y
        np.testing.assert_equal(out, wanted)


@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_a_step_into_out_allocates_nothing(variant):
    s = stack(variant, "float32", N=1)
    x, out = s.x[:, 0].copy(), s.frozen.step(s.x[:, 0].copy(), None, None)

    def calls(count):
        for _ in range(count):
            s.frozen.step(x, out[1], out)
            s.frozen.step(x, None, None)
            s.frozen.forward(s.x, None, None, None)

    calls(100)  # the pool of memory has what they need
    gc.collect()
    tracemalloc.start()
    try:
        held = tracemalloc.get_traced_memory()[0]
        calls(10_000)
        gc.collect()
        # Without the GIL the interpreter takes 4,096 bytes once.
        assert tracemalloc.get_traced_memory()[0] - held < 5_000
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        s.frozen.step(x, out[1], out)
        assert tracemalloc.get_traced_memory()[1] - held < 200
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_steps_from_several_python_threads(variant):
    s = stack(variant, "float32", D=65, H=250)  # long enough to let the others run
    rng = np.random.default_rng(3)
    xs = [rng.standard_normal((1 + n % 5, 65)).astype("float32") for n in range(40)]
    zeros = [np.zeros_like(part, shape=(2, 1, part.shape[2])) for part in s.parts(s.state)]
    wanted = [s.loose_step(x, s.join([np.repeat(z, len(x), axis=1) for z in zeros])) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(lambda x: s.frozen.step(x, None, None), xs))
            np.testing.assert_equal(results, wanted)


def unusable(array):
    """Arrays of the right values that need a conversion, and wrong ones."""
    yield from (array.astype(array.dtype.newbyteorder()), array.astype("f2"), array.tolist(), None)
    yield from (array[None], array[..., :-1], array[:0], np.repeat(array, 2, axis=-1)[..., ::2])
    yield from (np.ma.masked_array(array), array.view(np.recarray), "text", (array, array, array))


@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_refuses_what_it_cannot_use_and_does_nothing(variant, dtype):
    s = stack(variant, dtype)
    x, out = s.x[:, 0].copy(), s.frozen.step(s.x[:, 0].copy(), None, None)
    kept = out[0].copy(), s.join([part.copy() for part in s.parts(out[1])])
    parts = s.parts(s.state)
    for wrong in unusable(x):
        assert s.frozen.step(wrong, s.state, out) is None
    for wrong in unusable(s.x):
        assert s.frozen.forward(wrong, s.state, None, None) is None
    for wrong in unusable(parts[-1]):
        state = s.join([*parts[:-1], wrong])
        if state is not None:
            assert s.frozen.step(x, state, out) is None
            assert s.frozen.forward(s.x, state, None, None) is None
        if wrong is not None or len(parts) > 1:
            assert s.frozen.step(x, s.state, (out[0], state)) is None
    for wrong in unusable(out[0]):
        assert s.frozen.step(x, s.state, (wrong, out[1])) is None
    for wrong in ("out", [*out], (*out, out[0]), out[:1], out[0]):
        assert s.frozen.step(x, s.state, wrong) is None
    readonly = out[0].copy()
    readonly.flags.writeable = False
    assert s.frozen.step(x, s.state, (readonly, out[1])) is None
    np.testing.assert_equal(out, kept)


@pytest.mark.parametrize("variant", [*VARIANTS, *PROGRAMS])
def test_refuses_when_the_weights_may_have_changed(variant):
    s = stack(variant, "float32")
    for owner in s.owners:
        owner.flags.writeable = True
        assert s.frozen.step(s.x[:, 0].copy(), None, None) is None
        assert s.frozen.forward(s.x, None, None, None) is None
        owner.flags.writeable = False
    before = cpu.chosen()
    for name in cpu.supported():
        cpu.choose(name)
        try:
            result = s.frozen.forward(s.x, s.state, None, None)
            assert (result is None) == (name != before)
        finally:
            cpu.choose(before)


def test_both_directions_have_no_step():
    s = stack("lstm", "float32", directions=2)
    assert s.frozen.step(s.x[:, 0].copy(), None, None) is None
