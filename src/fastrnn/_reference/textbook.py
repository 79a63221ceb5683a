"""Weights whose gates lie as textbooks have them, turned into those that the cells are defined by.

Textbooks put the gates of an LSTM in the order f, g, i, o and those of a GRU in the order z, r, n.
Their GRU is ``h' = (1 - z) * h + z * n``. As ``1 - sigmoid(a) = sigmoid(-a)``, that is the GRU of
`_reference/gru.py` with the weights and the bias of z negated.
"""

from __future__ import annotations

import numpy as np

from .types import Array


def lstm_from_textbook(array: Array) -> Array:
    """Return columns f, g, i, o as i, f, g, o."""
    f, g, i, o = np.split(array, 4, axis=-1)
    return np.concatenate((i, f, g, o), axis=-1)


def lstm_to_textbook(array: Array) -> Array:
    """Invert `lstm_from_textbook`, also for gradients."""
    i, f, g, o = np.split(array, 4, axis=-1)
    return np.concatenate((f, g, i, o), axis=-1)


def gru_from_textbook(array: Array) -> Array:
    """Return columns z, r, n as r, -z, n."""
    z, r, n = np.split(array, 3, axis=-1)
    return np.concatenate((r, -z, n), axis=-1)


def gru_to_textbook(array: Array) -> Array:
    """Invert `gru_from_textbook`, also for gradients."""
    r, z, n = np.split(array, 3, axis=-1)
    return np.concatenate((-z, r, n), axis=-1)
