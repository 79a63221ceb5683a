"""Embedding, affine map and dropout over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array
from fastrnn.compat._layer import Layer


class TimeEmbedding(Layer):
    """An embedding: rows of a matrix by integer id.

    Parameters
    ----------
    W : array (V, D)
        Embedding matrix.
    """

    def __init__(self, W: Any) -> None:
        super().__init__(W=W)
        self._float32("W", W, ("V", "D"))

    def forward(self, xs: Any) -> Array:
        """Return the vectors (N, T, D) of the ids xs (N, T), each in 0..V-1."""
        W = self._float32("W", self.params[0], ("V", "D"), contiguous=True)
        xs = check.integers(self._name, "xs", xs, ("N", "T"), len(W))
        out, self.cache = ops.embedding_forward(xs, W)
        return out

    def backward(self, dout: Any) -> None:
        """Fill `grads` from the gradient of the vectors; ids have none."""
        stash = self._recorded()
        dout = self._float32("dout", dout, stash.shapes[0], contiguous=True)
        self._set_grads([ops.embedding_backward(dout, stash)])


class TimeAffine(Layer):
    """The affine map ``x W + b`` of the last axis.

    Parameters
    ----------
    W : array (D, O)
        Weights; the transpose of an embedding's W ties the two layers.
    b : array (O,)
        Bias.
    """

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W=W, b=b)
        self._weights()

    def forward(self, x: Any) -> Array:
        """Return the outputs (..., O) of x (..., D), which must not change before `backward`."""
        W, b = self._weights()
        x = self._float32("x", x, (..., len(W)), contiguous=True)
        out, self.cache = ops.linear_forward(x, W, b)
        return out

    def backward(self, dout: Any) -> Array:
        """Fill `grads` and return the gradient of x from that of the output."""
        stash = self._recorded()
        dout = self._float32("dout", dout, stash.shapes[0], contiguous=True)
        dx, dW, db = ops.linear_backward(dout, stash)
        self._set_grads([dW, db])  # type: ignore[list-item]  # there is a bias
        return dx

    def _weights(self) -> tuple[Array, Array]:
        """Return the current W and b, checked."""
        W = self._float32("W", self.params[0], ("D", "O"))
        return W, self._float32("b", self.params[1], (W.shape[1],))


class TimeDropout(Layer):
    """Dropout that scales the kept values and draws from NumPy's global generator.

    Parameters
    ----------
    dropout_ratio : float
        Probability of dropping a value, in [0, 1).

    Attributes
    ----------
    train_flg : bool
        Whether values are dropped; True by default.
    mask : array or None
        Factors of the last forward in train mode.
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        super().__init__()
        self.dropout_ratio = check.probability(self._name, "dropout_ratio", dropout_ratio)
        self.train_flg = True
        self.mask: Array | None = None

    def forward(self, xs: Any) -> Array:
        """Return xs with values dropped, or xs itself unless `train_flg`."""
        ys = self._float32("xs", xs, (...,))
        if self.train_flg:
            keep = np.random.rand(*ys.shape) > self.dropout_ratio
            scale = 1 / (1 - self.dropout_ratio)
            self.mask = np.multiply(keep, scale, dtype=np.float32)
            ys = ys * self.mask
        return ys

    def backward(self, dout: Any) -> Array:
        """Return the gradient of xs, with the same values dropped and the others scaled."""
        if self.mask is None:
            raise ValueError(f"{self._name}: backward needs a forward with train_flg before it")
        dxs: Array = self._float32("dout", dout, self.mask.shape) * self.mask
        return dxs
