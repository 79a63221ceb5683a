"""The base class of the layers of Saitoh's textbook: parameters, gradients and cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array, Shape

_FLOAT32 = np.dtype(np.float32)


def float32(layer: str, name: str, value: Any, shape: Shape, *, contiguous: bool = False) -> Array:
    """Return a checked array in float32, because code written for the book mixes dtypes."""
    if type(value) is np.ndarray and value.dtype == _FLOAT32:
        if value.shape == shape and value.flags.carray:  # the usual case, kept fast
            return value
    else:
        check.float_dtype(layer, name, value)
        value = np.asarray(value, _FLOAT32)
    return check.array(layer, name, value, shape, _FLOAT32, contiguous=contiguous)


class Layer:
    """A layer with the interface of K. Saitoh, "Deep Learning from Scratch 2".

    Attributes
    ----------
    params : list of array
        The arrays passed to the constructor, not copied. They may be changed in place, replaced,
        shared by layers or be views, because every call reads them again.
    grads : list of array
        Their gradients, always the same arrays, which each `backward` overwrites.
    cache
        Results of the last `forward` for `backward`; None before.
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
        """Return the state for copies and pickles, without the cache of the last call."""
        return {**self.__dict__, "cache": None}

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _float32(self, name: str, value: Any, shape: Shape, *, contiguous: bool = False) -> Array:
        return float32(self._name, name, value, shape, contiguous=contiguous)

    def _recorded(self) -> Any:
        """Return the cache; raise if there was no forward."""
        if self.cache is None:
            raise ValueError(f"{self._name}: backward needs a forward before it")
        return self.cache

    def _set_grads(self, grads: Iterable[Array]) -> None:
        """Overwrite the gradients in place."""
        for kept, grad in zip(self.grads, grads, strict=True):
            np.copyto(kept, grad)
