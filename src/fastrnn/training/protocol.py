"""Protocols of the models and data that can be trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Model(Protocol):
    """A model that can be trained."""

    @property
    def params(self) -> dict[str, NDArray[Any]]:
        """The parameters by name, each array once; updated in place."""

    @property
    def grads(self) -> dict[str, NDArray[Any]]:
        """The gradients by the same names; `backward` overwrites them."""

    @property
    def rng(self) -> np.random.Generator:
        """The generator of all its random numbers."""

    @property
    def buffers(self) -> dict[str, NDArray[Any]]:
        """The arrays carried from batch to batch, other than the parameters."""

    def load_buffers(self, buffers: dict[str, NDArray[Any]]) -> object:
        """Restore arrays that `buffers` returned."""

    def train(self) -> object:
        """Switch to train mode."""

    def eval(self) -> object:
        """Switch to eval mode."""

    def loss(self, *args: Any, **kwargs: Any) -> float:
        """Run one batch forward and return its loss."""

    def backward(self) -> object:
        """Fill `grads` for the last batch."""

    def reset(self) -> object:
        """Discard the state carried between batches."""


class BatchSource(Protocol):
    """Batches whose order depends only on the number of the epoch."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, k: int, /) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the batches of epoch `k`, counted from 0: the arguments of `Model.loss`."""


@runtime_checkable
class Fingerprinted(Protocol):
    """Batches with a fingerprint, which a resumed run compares."""

    def fingerprint(self) -> dict[str, Any]:
        """Return what the batches depend on by name, the data as a digest, as JSON values."""


@runtime_checkable
class TokenCounter(Protocol):
    """Batches with a number of tokens, by which the progress shows the speed."""

    def count_tokens(self, batch: tuple[NDArray[Any], ...], /) -> int:
        """Return the number of tokens of a batch."""


@runtime_checkable
class Configured(Protocol):
    """An object that knows its constructor's arguments."""

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""


class Described:
    """The base class of objects that keep their constructor's arguments as attributes."""

    _options: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, which must be the same on a resume, but for `lr`."""
        return {name: getattr(self, name) for name in self._options}
