"""Layers that map each entry, row or vector on its own: linear, embedding, dropout and tanh."""

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


class Embedding(Layer):
    """A table of vectors by integer id.

    Parameters
    ----------
    num_embeddings, embedding_size : int
        Number of vectors and their width.
    dtype : dtype
        float32 or float64.
    rng : numpy.random.Generator or int, optional
        What draws the table.

    Notes
    -----
    The one key of `params` is W (num_embeddings, embedding_size), drawn from a normal distribution
    of variance 1 / embedding_size: vectors of length about 1.
    """

    _arguments = ("num_embeddings", "embedding_size", "dtype")

    def __init__(
        self,
        num_embeddings: int,
        embedding_size: int,
        *,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(rng)
        self.num_embeddings = check.size(self._name, "num_embeddings", num_embeddings)
        self.embedding_size = check.size(self._name, "embedding_size", embedding_size)
        self.dtype = check.dtype(self._name, dtype)
        shape = (self.num_embeddings, self.embedding_size)
        self._add("W", self._normal(shape, self.embedding_size, self.dtype))

    def forward(self, ids: Any) -> Array:
        """Return the vectors (..., embedding_size) of the integer `ids` (...)."""
        y, stash = ops.embedding_forward(ids, self.param("W"), backend=self._backend)
        if self.training:
            self._tape = stash
        return y

    def backward(self, dy: Any) -> None:
        """Fill `grads` given the gradient of the vectors; ids have none."""
        self._set_grads({"W": ops.embedding_backward(dy, self._recorded())})


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
