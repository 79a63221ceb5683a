"""The formats of few bits: rounding, scales, products that are exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn._low_precision import LEAST, Bfloat16, Int8, quantized


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def test_bfloat16_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    whole = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    middle = whole & 0xFFFF0000 | 0x8000  # to even
    W = np.concatenate([whole, middle, [0, 1, 0x80000000, 0x7F7F8000]]).astype(np.uint32)
    W = W.view(np.float32)
    W = W[np.isfinite(W)][:, None]
    wanted = torch.from_numpy(W).to(torch.bfloat16)
    matrix = Bfloat16.of(W)
    np.testing.assert_array_equal(matrix.bits, wanted.view(torch.int16).numpy().view(np.uint16))
    np.testing.assert_array_equal(matrix.float32(), wanted.float().numpy())


def test_products_with_bfloat16_are_those_of_its_numbers():
    rng = np.random.default_rng(1)
    x, matrix = normal(rng, 3, 5), Bfloat16.of(normal(rng, 5, 4))
    np.testing.assert_array_equal(x @ matrix, x @ matrix.float32())
    some = matrix.columns(1, 3)
    assert some.shape == (5, 2)
    np.testing.assert_array_equal(x @ some, x @ matrix.float32()[:, 1:3])


@given(seed=st.integers(0, 2**32), exponent=st.integers(-60, 60))
def test_int8_is_the_nearest_of_its_numbers(seed, exponent):
    W = normal(np.random.default_rng(seed), 9, 5, scale=2.0**exponent)
    matrix = Int8.of(W)
    assert np.abs(matrix.integers).max(axis=0).tolist() == [127] * 5
    np.testing.assert_array_equal(matrix.scale, np.abs(W).max(axis=0) / np.float32(127))
    assert (np.abs(W - matrix.float32()) <= 0.5001 * matrix.scale).all()
    np.testing.assert_array_equal(matrix.columns(1, 3).float32(), matrix.float32()[:, 1:3])


def test_columns_of_zeros_have_a_scale():
    matrix = Int8.of(np.array([[0, 1e-38, -2], [0, 0, 1]], np.float32))
    assert matrix.scale.tolist() == [1, 1, np.float32(2) / np.float32(127)]
    assert matrix.integers.tolist() == [[0, 0, -127], [0, 0, 64]]  # 63.5 to even


def test_rows_are_quantized_in_the_same_way():
    rows = np.array([[1, -2, 0.5], [0, 0, 0], [1, np.nan, 2], [np.inf, 0, 1]], np.float32)
    rows = np.concatenate([rows, np.full((1, 3), LEAST), np.full((1, 3), LEAST / 2)])
    integers, scale = quantized(rows.astype(np.float32))
    wanted = [[64, -127, 32], [0] * 3, [0] * 3, [0] * 3, [127] * 3, [0] * 3]
    assert integers.tolist() == wanted
    np.testing.assert_array_equal(np.isnan(scale), [False, False, True, True, False, False])
    assert scale[1] == scale[5] == 0
    assert np.isnan(rows[2:4] @ Int8.of(np.ones((3, 2), np.float32))).all()


def test_sums_of_int8_are_exact():
    rng = np.random.default_rng(2)
    K = 3000
    x, W = normal(rng, 2, K), normal(rng, K, 3)
    matrix = Int8.of(W)
    integers, scale = quantized(x)
    sums = [
        [
            sum(int(a) * int(b) for a, b in zip(row, column, strict=True))
            for column in matrix.integers.T
        ]
        for row in integers
    ]
    wanted = np.array(sums).astype(np.float32) * (scale[:, None] * matrix.scale)
    np.testing.assert_array_equal(x @ matrix, wanted)
