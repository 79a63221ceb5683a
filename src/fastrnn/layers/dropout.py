"""The dropout layer."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array, Rng
from fastrnn.layers.base import Layer


class Dropout(Layer):
    """In train mode, set entries to 0 with probability p and divide the others by 1 - p.

    Parameters
    ----------
    p : float
        Probability of an entry to be dropped, in [0, 1).
    rng : numpy.random.Generator or int, optional
        What draws.
    """

    _arguments = ("p",)

    def __init__(self, p: float = 0.5, *, rng: Rng = None) -> None:
        super().__init__(rng)
        self.p = check.probability(self._name, "p", p)

    def forward(self, x: Any) -> Array:
        """Return x (...) with entries dropped; in evaluation mode x itself."""
        if not self.training:
            return check.array(self._name, "x", x, (...,), check.float_dtype(self._name, "x", x))
        y, self._tape = ops.dropout_forward(x, self.p, rng=self.rng, backend=self._backend)
        return y

    def backward(self, dy: Any) -> Array:
        """Return the gradient of x given that of y."""
        return ops.dropout_backward(dy, self._recorded())
