"""What the textbook's layers share: lists of parameters and gradients, and what backward needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array, Shape

_FLOAT32 = np.dtype(np.float32)


def float32(layer: str, name: str, value: Any, shape: Shape, *, contiguous: bool = False) -> Array:
    """Return a checked array in float32: textbook code leaves a float64 here and there."""
    if type(value) is np.ndarray and value.dtype is _FLOAT32:
        if value.shape == shape and value.flags.carray:  # nearly all, in the microseconds of a step
            return value
    else:
        check.float_dtype(layer, name, value)
        value = np.asarray(value, _FLOAT32)
    return check.array(layer, name, value, shape, _FLOAT32, contiguous=contiguous)


class Layer:
    """A layer with the textbook's contract.

    Attributes
    ----------
    params : list of array
        The arrays given to the constructor, not copied. They may be changed in place, replaced by
        others, shared among layers or be views; every call reads them anew.
    grads : list of array
        Their gradients: always the same arrays, overwritten by each `backward`.
    cache
        What the last `forward` left for `backward`; None before.
    """

    def __init__(self, **params: Any) -> None:
        for name, param in params.items():
            if not isinstance(param, np.ndarray):
                came = type(param).__name__
                raise TypeError(f"{self._name}: {name} must be an array, got {came}")
        self.params: list[Array] = list(params.values())
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self.cache: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave what belongs to the last call out of copies and pickles."""
        return {**self.__dict__, "cache": None}

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _float32(self, name: str, value: Any, shape: Shape, *, contiguous: bool = False) -> Array:
        return float32(self._name, name, value, shape, contiguous=contiguous)

    def _recorded(self) -> Any:
        """Return what the last forward left."""
        if self.cache is None:
            raise ValueError(f"{self._name}: backward needs a forward before it")
        return self.cache

    def _set_grads(self, grads: Iterable[Array]) -> None:
        """Overwrite the gradients in place."""
        for kept, grad in zip(self.grads, grads, strict=True):
            np.copyto(kept, grad)
