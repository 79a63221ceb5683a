from __future__ import annotations

import numpy as np
import pytest

from fastrnn._reference.activations import sigmoid


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_accurate_relative_to_itself(dtype):
    x = np.concatenate([np.linspace(-80, 80, 1001), np.logspace(-30, 1)]).astype(dtype)
    wanted = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    actual = sigmoid(x)
    assert actual.dtype == dtype
    assert np.max(np.abs(actual / wanted - 1)) < 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_at_the_ends(dtype):
    ends = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(sigmoid(ends), [0, 0, 0.5, 0.5, 1, 1, np.nan])
