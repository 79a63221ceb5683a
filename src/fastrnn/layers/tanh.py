"""The tanh layer."""

from __future__ import annotations

from typing import Any

from fastrnn import ops
from fastrnn._check import Array
from fastrnn.layers.base import Layer


class Tanh(Layer):
    """The hyperbolic tangent of every entry."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Any) -> Array:
        """Return y (...) for x (...)."""
        y, stash = ops.tanh_forward(x, backend=self._backend)
        if self.training:
            self._tape = stash
        return y

    def backward(self, dy: Any) -> Array:
        """Return the gradient of x given that of y."""
        return ops.tanh_backward(dy, self._recorded())
