"""The losses over time, each with its nonlinearity."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array
from fastrnn.compat._layer import Layer


class TimeSoftmaxWithLoss(Layer):
    """Softmax and the mean cross-entropy of the targets without the ignored ones.

    Attributes
    ----------
    ignore_label : int
        Target to ignore, by default -1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ignore_label = -1

    def forward(self, xs: Any, ts: Any) -> float:
        """Return the loss of the scores xs and the targets ts.

        Parameters
        ----------
        xs : array (N, T, V)
            Scores.
        ts : integer array (N, T), or one-hot array (N, T, V)
            Classes.
        """
        xs = self._float32("xs", xs, ("N", "T", "V"), contiguous=True)
        N, T, V = xs.shape
        if np.ndim(ts) == 3:
            came = np.shape(ts)
            if came != xs.shape:
                raise ValueError(f"{self._name}: one-hot ts must have shape {xs.shape}, got {came}")
            ts = np.argmax(ts, axis=2)
        ts = check.integers(self._name, "ts", ts, (N, T), V, ignore=self.ignore_label)
        loss, self.cache = ops.softmax_cross_entropy_forward(xs, ts, ignore_index=self.ignore_label)
        return loss

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of the scores from that of the loss, once for each forward."""
        dxs = ops.softmax_cross_entropy_backward(dout, self._recorded())
        self.cache = None  # the forward computed dxs, which now belongs to the caller
        dxs.flags.writeable = True
        return dxs


class TimeSigmoidWithLoss(Layer):
    """Sigmoid and the mean binary cross-entropy, computed from the scores without overflow."""

    def forward(self, xs: Any, ts: Any) -> float:
        """Return the loss of the scores xs (N, T) given the targets ts (N, T), each 0 or 1."""
        xs = self._float32("xs", xs, ("N", "T"))
        ts = check.integers(self._name, "ts", ts, xs.shape, 2)
        # -log(sigmoid(x)) = log(1 + exp(-x)); add x if the target is 0
        losses = np.logaddexp(0, -xs) + (1 - ts) * xs
        self.cache = xs, ts
        return float(losses.sum() / max(xs.size, 1))

    def backward(self, dout: float = 1) -> Array:
        """Return the gradient of the scores from that of the loss."""
        xs, ts = self._recorded()
        sigmoid = 0.5 * (1 + np.tanh(0.5 * xs))
        dxs: Array = (sigmoid - ts) * (dout / max(xs.size, 1))
        return dxs.astype(np.float32, copy=False)
