"""Softmax and cross entropy in one, the mean over the targets that count.

With ``p = softmax(logits)`` and ``q`` the wanted distribution, ``onehot(target)``, the loss is
``-mean(sum(q * log p))`` and its gradient ``(p - q) / count`` (Bridle 1990). Label smoothing wants
``q = (1 - smoothing) * onehot(target) + smoothing / V`` instead (Szegedy et al. 2016, section 7).
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
    label_smoothing: float = 0.0,
    num_threads: int | None = None,
) -> tuple[float, Array | None]:
    """Return the loss and, when training, its gradient.

    Parameters
    ----------
    logits : (M, V)
    targets : (M,)
        Class of each row. Rows whose target is `ignore_index` count nowhere, whatever they hold.
    label_smoothing : float
        What all classes share of the wanted distribution, in [0, 1).

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
    losses = np.log(total[:, 0]) - (1 - label_smoothing) * shifted[rows, classes]
    if label_smoothing:  # a logit of -inf is no matter otherwise
        losses -= label_smoothing * shifted.mean(axis=1)
    loss = float(losses.sum(dtype=np.float64) / count)
    if not train:
        return loss, None

    difference = e / total - label_smoothing / logits.shape[1]  # p - q
    difference[rows, classes] -= 1 - label_smoothing
    dlogits = np.zeros(logits.shape, logits.dtype)
    dlogits[counted] = difference / count
    return loss, dlogits
