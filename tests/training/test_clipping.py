from __future__ import annotations

import numpy as np
import pytest

from fastrnn.training import clip_grad_norm, grad_norm


@pytest.fixture(params=[np.float32, np.float64])
def grads(request, rng):
    return {
        "W": rng.standard_normal((6, 7)).astype(request.param),
        "b": 10 * rng.standard_normal(3).astype(request.param),
    }


def flat(grads):
    return np.concatenate([g.ravel() for g in grads.values()]).astype(np.float64)


def test_clips_all_together(grads):
    before, arrays = flat(grads), dict(grads)
    norm = np.linalg.norm(before)
    assert clip_grad_norm(grads, 2.5) == pytest.approx(norm, rel=1e-12)
    assert all(grads[key] is array for key, array in arrays.items())
    np.testing.assert_allclose(flat(grads), before * 2.5 / norm, rtol=1e-6)
    assert grad_norm(grads) == pytest.approx(2.5, rel=1e-6)


def test_leaves_small_ones(grads):
    before = flat(grads)
    assert clip_grad_norm(grads, 1e3) == pytest.approx(np.linalg.norm(before), rel=1e-12)
    np.testing.assert_array_equal(flat(grads), before)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_leaves_what_is_not_finite(grads, bad):
    grads["b"][1] = bad
    before = flat(grads)
    assert not np.isfinite(clip_grad_norm(grads, 1.0))
    np.testing.assert_array_equal(flat(grads), before)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_bad_limit(grads, limit):
    with pytest.raises(ValueError, match=r"^clip_grad_norm: max_norm must be positive, got "):
        clip_grad_norm(grads, limit)
