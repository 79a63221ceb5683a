"""The loss of a classification."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check
from fastrnn import ops
from fastrnn._check import Array
from fastrnn.layers.base import Layer


class SoftmaxCrossEntropy(Layer):
    """The mean of ``-log(softmax(logits)[target])``.

    Parameters
    ----------
    ignore_index : int, optional
        A target that does not count; without any that counts the loss is 0.
    label_smoothing : float, default 0.0
        In train mode the wanted distribution is ``(1 - label_smoothing) * onehot +
        label_smoothing / V`` (Szegedy et al. 2016, section 7). In eval mode the loss is always the
        plain one, of which perplexity is the exponential.
    """

    _arguments = ("ignore_index", "label_smoothing")

    def __init__(self, ignore_index: int | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if ignore_index is not None:
            ignore_index = check.integer(self._name, "ignore_index", ignore_index)
        self.ignore_index = ignore_index
        self.label_smoothing = check.probability(self._name, "label_smoothing", label_smoothing)

    def forward(self, logits: Any, targets: Any, *, num_threads: int | None = None) -> float:
        """Return the loss of the logits (..., V) given the right classes, integers (...)."""
        options: dict[str, Any] = {"ignore_index": self.ignore_index, "num_threads": num_threads}
        if not self.training:
            return ops.softmax_cross_entropy(logits, targets, backend=self._backend, **options)
        options |= {"label_smoothing": self.label_smoothing, "backend": self._backend}
        loss, self._tape = ops.softmax_cross_entropy_forward(logits, targets, **options)
        return loss

    def backward(self, dloss: float = 1.0) -> Array:
        """Return the gradient of the logits given that of the loss; read-only for a dloss of 1."""
        return ops.softmax_cross_entropy_backward(dloss, self._recorded())
