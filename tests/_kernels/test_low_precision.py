"""Weights of few bits in the kernels: exact sums, and the reference's results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.numeric import random_lengths
from support.problems import VARIANTS, parts
from support.stacks import random_stack

from fastrnn import _kernels, _reference
from fastrnn._kernels.runtime import cpu, thread_groups
from fastrnn._low_precision import FORMATS, Bfloat16, Int8

WIDTHS = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65, 130])
EXAMPLES = settings(deadline=None, max_examples=15)
SIZES = st.fixed_dictionaries(
    {"seed": st.integers(0, 2**32), "N": st.integers(1, 14), "D": WIDTHS, "H": WIDTHS}
)
WAYS = []
for isa in cpu.supported():
    before = cpu.chosen()
    cpu.choose(isa)
    WAYS += [(isa, way) for way in cpu.int8_ways()]
    cpu.choose(before)


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way[1])
def way(request):
    """Every way to multiply 8 bits, each with its instruction set."""
    before = cpu.chosen()
    isa, name = request.param
    cpu.choose(isa)
    cpu.choose_int8(name)
    yield name
    cpu.choose(before)


class Problem:
    """Random stacked cells in one direction, and calls of their frozen forms."""

    def __init__(self, variant, seed, N, D, H, T=1, layers=1, directions=1):
        rng = np.random.default_rng(seed)
        sizes = {"N": N, "T": T, "D": D, "H": H, "layers": layers, "directions": directions}
        problems, self.state = random_stack(variant, rng, **sizes, dtype=np.float32)
        self.directions, self.first, self.x = directions, problems[0], problems[0].x
        self.cells = [problem.cell_weights() for problem in problems]
        self.lengths = random_lengths(rng, N, T)

    def frozen(self, backend, precision):
        """What the backend makes of the weights in a precision, or as they are if it is None."""

        def low(array):
            matrix = precision and array is not None and array.ndim == 2
            return FORMATS[precision].of(array) if matrix else array

        cells = [tuple(map(low, arrays)) for arrays in self.cells]
        return backend.recurrent_freeze(
            self.first.cell,
            cells,
            options=self.first.options,
            directions=self.directions,
            residual=False,
            owners=[],
        )

    def run(self, backend, precision, lengths=None, num_threads=1):
        frozen = self.frozen(backend, precision)
        return frozen.forward(self.x, self.state, lengths, num_threads)


def flat(result):
    y, state = result
    return [y, *parts(state)]


@pytest.mark.usefixtures("way")
@given(sizes=SIZES)
@EXAMPLES
def test_sums_of_int8_are_exact(sizes):
    p = Problem("rnn_relu", **sizes)  # h' = relu(b + x Wx + h Wh) shows the sum itself
    Wx, Wh, b = p.cells[0]
    p.state[...] = 0
    b[...] = 0
    (y, _), x = p.run(_kernels, "int8"), p.x[:, 0]
    np.testing.assert_array_equal(y[:, 0], np.maximum(x @ Int8.of(Wx), 0))
    p.x[...] = 0
    p.state[...] = np.random.default_rng(1).standard_normal(p.state.shape)
    y, _ = p.run(_kernels, "int8")
    np.testing.assert_array_equal(y[:, 0], np.maximum(p.state[0] @ Int8.of(Wh), 0))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("variant", VARIANTS)
@given(sizes=SIZES)
@EXAMPLES
def test_a_step_with_int8_is_that_of_the_reference(variant, sizes):
    p = Problem(variant, **sizes)
    # Where r*h is quantized within the step, rounding may move it by one in 127.
    bound = 2e-5 + (variant == "gru_before") * np.abs(p.cells[0][1]).max() / 127 * 4
    for came, wanted in zip(
        flat(p.run(_kernels, "int8")), flat(p.run(_reference, "int8")), strict=True
    ):
        np.testing.assert_allclose(came, wanted, rtol=1e-5, atol=bound)
        assert (np.abs(came - wanted) > 2e-5).mean() <= 0.5
    step = p.frozen(_kernels, "int8").step(p.x[:, 0].copy(), p.state, None)
    y, *state = flat(p.run(_kernels, "int8"))
    for came, wanted in zip(flat(step), [y[:, 0], *state], strict=True):
        np.testing.assert_array_equal(came, wanted)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("variant", VARIANTS)
@given(sizes=SIZES, layers=st.integers(1, 2), directions=st.integers(1, 2), ragged=st.booleans())
@EXAMPLES
def test_bfloat16_is_float32_of_its_numbers(variant, sizes, layers, directions, ragged):
    p = Problem(variant, **sizes, T=3, layers=layers, directions=directions)
    lengths = p.lengths if ragged else None
    result = p.run(_kernels, "bfloat16", lengths)
    for came, wanted in zip(
        flat(result), flat(p.run(_reference, "bfloat16", lengths)), strict=True
    ):
        np.testing.assert_allclose(came, wanted, rtol=1e-5, atol=2e-5)
    p.cells = [
        tuple(
            Bfloat16.of(array).float32() if array is not None and array.ndim == 2 else array
            for array in arrays
        )
        for arrays in p.cells
    ]
    np.testing.assert_equal(result, p.run(_kernels, None, lengths))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_bits_alone_and_with_others_on_any_threads(variant, precision):
    p = Problem(variant, 3, N=13, D=40, H=150, T=4, layers=2)
    wanted = p.run(_kernels, precision, p.lengths)
    for threads, per_group in ((2, 1), (3, 1), (2, 2), (3, 3)):
        thread_groups.force_threads_per_group(per_group)
        try:
            np.testing.assert_equal(p.run(_kernels, precision, p.lengths, threads), wanted)
        finally:
            thread_groups.force_threads_per_group(0)
    frozen = p.frozen(_kernels, precision)
    for n in (0, 7):
        own = [np.ascontiguousarray(part[:, n : n + 1]) for part in parts(p.state)]
        state = tuple(own) if len(own) > 1 else own[0]
        x, lengths = p.x[n : n + 1], p.lengths[n : n + 1]
        y, *final = flat(frozen.forward(x, state, lengths, 1))
        np.testing.assert_array_equal(y[0], wanted[0][n])
        for came, all_of_them in zip(final, flat(wanted)[1:], strict=True):
            np.testing.assert_array_equal(came[:, 0], all_of_them[:, n])


@pytest.mark.parametrize("variant", VARIANTS)
def test_ways_of_one_instruction_set_give_the_same_bits(variant):
    p = Problem(variant, 4, N=9, D=30, H=70, T=20)
    before = cpu.chosen()
    try:
        for isa in cpu.supported():
            cpu.choose(isa)
            results = []
            for name in cpu.int8_ways():
                cpu.choose_int8(name)
                results.append(p.run(_kernels, "int8", p.lengths))
            for result in results[1:]:
                np.testing.assert_equal(result, results[0])
    finally:
        cpu.choose(before)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-35, 0, 3e38])
def test_unusual_rows(value):
    p = Problem("lstm", 5, N=3, D=20, H=33)
    wanted = p.run(_kernels, "int8")
    p.x[1, 0, 7:9] = value
    if abs(value) <= 1:
        p.x[1] = value
    came, reference = p.run(_kernels, "int8"), p.run(_reference, "int8")
    for row in (0, 2):
        np.testing.assert_array_equal(came[0][row], wanted[0][row])
    if np.isfinite(value):
        np.testing.assert_allclose(came[0], reference[0], atol=2e-5)
    else:
        assert np.isnan(came[0][1]).all() and np.isnan(reference[0][1]).all()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("N", [1, 2])
def test_the_largest_sums(N):
    """Every product is the largest one, and all add up."""
    D, H = 20_000, 3
    Wx, Wh = np.ones((D, H), np.float32), np.zeros((H, H), np.float32)
    Wx[:, 1] = -1
    cells = [(Int8.of(Wx), Int8.of(Wh), np.zeros(H, np.float32))]
    p = Problem("rnn_relu", 0, N=N, D=1, H=H)
    frozen = _kernels.recurrent_freeze(
        p.first.cell, cells, options=p.first.options, directions=1, residual=False, owners=[]
    )
    y, _ = frozen.forward(np.ones((N, 1, D), np.float32), None, None, 1)
    np.testing.assert_allclose(y[:, 0], [[D, 0, D]] * N, rtol=1e-6)
