"""Denormals are flushed to zero inside the kernels only."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("rows", [3, 64])
def test_the_callers_mode_is_restored(isa, dtype, make_call, rows):
    smallest = np.full(100, np.finfo(dtype).tiny)
    make_call(np.random.default_rng(1), rows, rows, dtype)()
    assert (smallest / 4 > 0).all()
    assert (smallest / 4 * 4 == smallest).all()
