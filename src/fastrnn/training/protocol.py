"""What the training floor asks of a model and of its data."""

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
        """The gradients by the same names; overwritten by `backward`."""

    @property
    def rng(self) -> np.random.Generator:
        """The one source of all its randomness."""

    @property
    def buffers(self) -> dict[str, NDArray[Any]]:
        """What lives on from batch to batch beside the parameters."""

    def load_buffers(self, buffers: dict[str, NDArray[Any]]) -> object:
        """Put back what `buffers` gave."""

    def train(self) -> object:
        """Switch to train mode."""

    def eval(self) -> object:
        """Switch to eval mode."""

    def loss(self, *args: Any, **kwargs: Any) -> float:
        """Forward one batch."""

    def backward(self) -> object:
        """Fill `grads` for the batch before."""

    def reset(self) -> object:
        """Forget the state carried between batches."""


class BatchSource(Protocol):
    """Batches whose order depends on nothing but the number of the epoch."""

    def __len__(self) -> int:
        """Give the number of batches in an epoch."""

    def epoch(self, k: int, /) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield the batches of epoch `k`, counted from 0: what `Model.loss` takes."""


@runtime_checkable
class Fingerprinted(Protocol):
    """Batches that a resumed run can tell from others."""

    def fingerprint(self) -> dict[str, Any]:
        """Give what the batches depend on by name, the data as a digest; fit for JSON."""


@runtime_checkable
class TokenCounter(Protocol):
    """Batches of tokens, whose number says more of the pace than that of the batches."""

    def count_tokens(self, batch: tuple[NDArray[Any], ...], /) -> int:
        """Count the tokens of a batch."""


@runtime_checkable
class Configured(Protocol):
    """What can say which arguments it was constructed with."""

    def config(self) -> dict[str, Any]:
        """Give the constructor's arguments, fit for JSON."""
