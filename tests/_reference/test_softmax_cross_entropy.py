from __future__ import annotations

import numpy as np
import pytest
from support.numeric import assert_close, numeric_gradient

from fastrnn import _reference


def random_batch(seed, dtype=np.float64, M=6, V=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((M, V)).astype(dtype), rng.integers(0, V, M)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
@pytest.mark.parametrize("ignore_index", [None, 2, -100])
def test_gradient_by_finite_differences(ignore_index, label_smoothing):
    logits, targets = random_batch(0)
    targets[[1, 4]] = 2 if ignore_index is None else ignore_index

    def loss(train=False):
        return _reference.softmax_cross_entropy(
            logits,
            targets,
            ignore_index=ignore_index,
            train=train,
            label_smoothing=label_smoothing,
        )

    dlogits = loss(train=True)[1]
    assert_close(dlogits, numeric_gradient(lambda: loss()[0], logits), 1e-7)
    if ignore_index is not None:
        assert not dlogits[targets == ignore_index].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_is_the_mean_of_minus_log_p(dtype):
    logits, targets = random_batch(1, dtype)
    loss, dlogits = _reference.softmax_cross_entropy(logits, targets, ignore_index=None, train=True)
    p = np.exp(logits, dtype=np.float64)
    p /= p.sum(axis=1, keepdims=True)
    assert type(loss) is float
    assert loss == pytest.approx(-np.log(p[np.arange(6), targets]).mean(), rel=1e-6)
    assert_close(dlogits, (p - np.eye(4)[targets]) / 6, 1e-6)
    assert dlogits.dtype == dtype


def test_ignored_rows_may_hold_anything():
    logits, targets = random_batch(2)
    targets[:2] = 3
    targets[2:] = np.where(targets[2:] == 3, 0, targets[2:])
    wanted = _reference.softmax_cross_entropy(
        logits[2:], targets[2:], ignore_index=None, train=True
    )
    logits[:2] = np.nan
    loss, dlogits = _reference.softmax_cross_entropy(logits, targets, ignore_index=3, train=True)
    assert loss == wanted[0]
    np.testing.assert_array_equal(dlogits[2:], wanted[1])
    assert not dlogits[:2].any()


@pytest.mark.parametrize("M", [0, 3])
def test_no_target_counts(M):
    logits, targets = random_batch(3, np.float32, M=M)
    targets[:] = 1
    loss, dlogits = _reference.softmax_cross_entropy(logits, targets, ignore_index=1, train=True)
    assert loss == 0.0
    np.testing.assert_array_equal(dlogits, np.zeros((M, 4), np.float32))
    assert dlogits.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_do_not_overflow(dtype):
    logits, targets = random_batch(4, dtype)
    shifted = logits + np.array([[1e4], [-1e4], [0], [3e4], [-3e4], [1]], dtype)
    logits = shifted - np.array([[1e4], [-1e4], [0], [3e4], [-3e4], [1]], dtype)  # as rounded
    with np.errstate(over="raise", invalid="raise"):
        loss, dlogits = _reference.softmax_cross_entropy(
            shifted, targets, ignore_index=None, train=True
        )
    wanted = _reference.softmax_cross_entropy(logits, targets, ignore_index=None, train=True)
    assert loss == pytest.approx(wanted[0], rel=1e-6)
    assert_close(dlogits, wanted[1], 1e-5)


def test_nan_propagates_and_arguments_survive():
    logits, targets = random_batch(5)
    logits[1, 2] = np.nan
    before = logits.copy()
    loss, dlogits = _reference.softmax_cross_entropy(logits, targets, ignore_index=None, train=True)
    assert np.isnan(loss)
    assert np.isnan(dlogits).all(axis=1).tolist() == [False, True, False, False, False, False]
    np.testing.assert_array_equal(logits, before)


def test_no_gradient_without_train():
    logits, targets = random_batch(6)
    loss, dlogits = _reference.softmax_cross_entropy(
        logits, targets, ignore_index=None, train=False
    )
    assert dlogits is None
    assert (
        loss == _reference.softmax_cross_entropy(logits, targets, ignore_index=None, train=True)[0]
    )
