"""The linear layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array, Rng
from fastrnn.layers.base import Layer


class Linear(Layer):
    """The affine map ``y = x W + b`` of the last axis.

    Parameters
    ----------
    input_size, output_size : int
        Width of x and of y.
    bias : bool
        Whether there is a b.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the initial weights.

    Notes
    -----
    The keys of `params` are W (input_size, output_size), drawn from a normal distribution of
    variance 1 / input_size, and b (output_size,), zeros.
    """

    _arguments = ("input_size", "output_size", "bias", "dtype")

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.input_size = check.size(self._name, "input_size", input_size)
        self.output_size = check.size(self._name, "output_size", output_size)
        self.bias = bool(bias)
        self.dtype = check.dtype(self._name, dtype)
        shape = (self.input_size, self.output_size)
        check.parameters(self._name, [(shape, 1)], self.dtype)
        self._add("W", self._normal(shape, self.input_size, self.dtype))
        if bias:
            self._add("b", np.zeros(self.output_size, self.dtype))

    def forward(self, x: Any, *, num_threads: int | None = None) -> Array:
        """Return y (..., output_size) for x (..., input_size)."""
        y, stash = ops.linear_forward(
            x,
            self.param("W"),
            self.param("b") if self.bias else None,
            num_threads=num_threads,
            backend=self._backend,
        )
        if self.training:
            self._tape = stash
        return y

    def backward(self, dy: Any, *, num_threads: int | None = None) -> Array:
        """Return the gradient of x given that of y; fill `grads`."""
        dx, dW, db = ops.linear_backward(dy, self._recorded(), num_threads=num_threads)
        self._set_grads({"W": dW} if db is None else {"W": dW, "b": db})
        return dx
