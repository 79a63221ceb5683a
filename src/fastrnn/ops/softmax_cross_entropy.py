"""Softmax and cross-entropy in one."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.ops import _backend
from fastrnn.ops._backend import Stash

_LAYER = "SoftmaxCrossEntropy"


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    num_threads: int | None = None,
    backend: str | None = None,
) -> float:
    """Return the mean of ``-log(softmax(logits)[target])``, or its smoothed form.

    Parameters
    ----------
    logits : array (..., V)
        Scores of the classes, float32 or float64.
    targets : integer array (...)
        The right classes, 0 to V-1.
    ignore_index : int, optional
        A target that does not count; without any that counts the loss is 0.
    label_smoothing : float, default 0.0
        Wanted is not the target alone, but ``(1 - label_smoothing) * onehot + label_smoothing / V``
        (Szegedy et al. 2016, section 7), in [0, 1).
    num_threads, backend : int and {"compiled", "reference"}, optional
        For this call; the defaults are those of `fastrnn.get_num_threads` and `fastrnn.backend`.

    Returns
    -------
    loss : float
        As exact for millions of classes as for a few: see `docs/limits.md`.

    Raises
    ------
    ValueError, TypeError
        ValueError if a shape, a target or an option is wrong; TypeError if a dtype is.
    """
    return _run(False, logits, targets, ignore_index, label_smoothing, num_threads, backend)[0]


def softmax_cross_entropy_forward(
    logits: Any,
    targets: Any,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    num_threads: int | None = None,
    backend: str | None = None,
) -> tuple[float, Stash]:
    """Return (loss, stash), the loss as of `softmax_cross_entropy`.

    Raises
    ------
    ValueError, TypeError
        As `softmax_cross_entropy`.
    """
    return _run(True, logits, targets, ignore_index, label_smoothing, num_threads, backend)


def softmax_cross_entropy_backward(dloss: float, stash: Stash) -> Array:
    """Return the gradient of the logits given that of the loss.

    For a `dloss` of 1 it is a view of the array in the stash, read-only.

    Raises
    ------
    ValueError, TypeError
        ValueError if the stash is not of `softmax_cross_entropy_forward`; TypeError if dloss is
        no number.
    """
    dloss = check.number(_LAYER, "dloss", dloss)
    stash = _backend.open_stash(_LAYER, stash)
    dlogits: Array = stash.data
    return dlogits.view() if dloss == 1.0 else dlogits * stash.dtype.type(dloss)


def _run(train: bool, *arguments: Any) -> tuple[float, Stash]:
    """Compute the loss and, if `train`, the gradient of the logits at once."""
    logits, targets, ignore_index, label_smoothing, num_threads, backend = arguments
    dtype = check.float_dtype(_LAYER, "logits", logits)
    logits = check.array(_LAYER, "logits", logits, (..., "V"), dtype, contiguous=True)
    *outer, V = logits.shape
    if ignore_index is not None:
        ignore_index = check.integer(_LAYER, "ignore_index", ignore_index)
    targets = check.integers(_LAYER, "targets", targets, tuple(outer), V, ignore=ignore_index)
    label_smoothing = check.probability(_LAYER, "label_smoothing", label_smoothing)
    chosen = _backend.choose(backend)
    loss, dlogits = _backend.get(chosen).softmax_cross_entropy(
        logits.reshape(targets.size, V),
        targets.reshape(-1),
        ignore_index=ignore_index,
        train=train,
        label_smoothing=label_smoothing,
        num_threads=check.threads(_LAYER, num_threads),
    )
    if dlogits is not None:
        dlogits = dlogits.reshape(logits.shape)
        dlogits.flags.writeable = False  # every backward may hand out a view
    return loss, Stash(_LAYER, chosen, dtype, (), dlogits)
