"""Which positions of a batch belong to its sequences."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn.models.padding import Padding, sum_of_steps


@pytest.mark.parametrize("lengths", [[3, 0, 4, 1], [4, 4, 4, 4], None])
def test_rows_come_sequence_by_sequence_and_go_back(lengths):
    x = np.random.default_rng(1).standard_normal((4, 4, 2))
    padding = Padding(None if lengths is None else np.array(lengths), 4, 4)
    ends = [4] * 4 if lengths is None else lengths
    rows = padding.remove(x)
    np.testing.assert_array_equal(
        rows, np.concatenate([row[:end] for row, end in zip(x, ends, strict=True)])
    )
    back = padding.restore(rows)
    for row, same, end in zip(x, back, ends, strict=True):
        np.testing.assert_array_equal(same[:end], row[:end])
        assert not same[end:].any()


@pytest.mark.parametrize(("N", "T"), [(0, 3), (3, 0)])
def test_no_positions_at_all(N, T):
    padding = Padding(np.zeros(N, np.int64), N, T)
    assert padding.remove(np.ones((N, T, 5))).shape == (0, 5)
    assert padding.restore(np.ones((0, 5))).shape == (N, T, 5)


@pytest.mark.parametrize("T", [0, 1, 3000, 10**6])
def test_sum_of_steps(T):
    """Of steps that are alike, where the error of a long float32 sum is largest."""
    x = np.full((2, T, 3), 0.1, np.float32)
    total = sum_of_steps(x)
    assert total.dtype == x.dtype
    np.testing.assert_allclose(total, np.full((2, 3), T * float(np.float32(0.1))), 1e-4)
