"""Which positions of a batch belong to its sequences."""

from __future__ import annotations

import numpy as np
import pytest

from fastrnn.models.padding import Padding


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
