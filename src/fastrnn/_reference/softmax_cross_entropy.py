"""Softmax and cross entropy in one, the mean over the targets that count.

With ``p = softmax(logits)`` the loss is ``-mean(log p[target])`` and its gradient
``(p - onehot(target)) / count`` (Bridle 1990).
"""

from __future__ import annotations

import numpy as np

from .types import Array


def softmax_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int | None,
    train: bool,
    num_threads: int | None = None,
) -> tuple[float, Array | None]:
    """Return the loss and, when training, its gradient.

    Parameters
    ----------
    logits : (M, V)
    targets : (M,)
        Class of each row. Rows whose target is `ignore_index` count nowhere, whatever they hold.

    Returns
    -------
    loss : float
        In nats; 0.0 when no row counts.
    dlogits : (M, V) or None
        Exactly 0 in the rows that do not count.
    """
    counted = np.arange(len(targets))
    if ignore_index is not None:
        counted = counted[targets != ignore_index]
    rows, classes = np.arange(len(counted)), targets[counted]
    count = max(len(counted), 1)

    shifted = logits[counted]
    shifted -= shifted.max(axis=1, keepdims=True)  # exp cannot overflow
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) - shifted[rows, classes]
    loss = float(losses.sum(dtype=np.float64) / count)
    if not train:
        return loss, None

    p = e / total
    p[rows, classes] -= 1
    dlogits = np.zeros(logits.shape, logits.dtype)
    dlogits[counted] = p / count
    return loss, dlogits
