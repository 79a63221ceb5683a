"""Random inputs of a case, and the digest of each array that it gives."""

from __future__ import annotations

import hashlib
import inspect
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Case = Callable[["Draw"], Any]
Cases = Iterable[tuple[str, Case]]

# Public names that may become other ones: each with the one that means the same.
SYNONYMS = {
    "attention": "alignment",
    "return_attention": "return_alignment",
    "num_heads": "heads",
}


class Draw:
    """Random inputs that depend on the name of a case alone, in one dtype."""

    def __init__(self, name: str, dtype: str) -> None:
        self.seed = zlib.crc32(name.encode())
        self.rng = np.random.default_rng(self.seed)
        self.dtype = dtype

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (scale * self.rng.standard_normal(shape)).astype(self.dtype)

    def weights(self, *shape: int) -> Array:
        """Random weights of variance 1 / rows, for a vector 0.5."""
        return self.normal(*shape, scale=max(shape[0], 1) ** -0.5 if len(shape) > 1 else 0.5)

    def ids(self, count: int, *shape: int) -> Array:
        return self.rng.integers(0, count, shape)

    def lengths(self, N: int, T: int) -> Array:
        """Lengths in random order among which are, as far as N goes, 0 and T."""
        lengths = self.rng.integers(0, T + 1, N)
        lengths[:2] = [0, T][:N]
        return self.rng.permutation(lengths)

    def drop(self, *shape: int) -> Array:
        """Factors of dropout with p = 0.4."""
        return ((self.rng.random(shape) >= 0.4) / 0.6).astype(self.dtype)

    def coin(self) -> bool:
        return bool(self.rng.random() < 0.5)

    def params_of(self, owner: Any) -> Any:
        """Give all parameters of a layer or a model random values, biases too; return it."""
        for param in owner.params.values():
            param[...] = self.weights(*param.shape)
        return owner

    def like(self, value: Any) -> Any:
        """Random arrays of the shapes of an array or of a tuple or list of them."""
        if isinstance(value, (tuple, list)):
            return type(value)(self.like(part) for part in value)
        return self.normal(*value.shape)


def copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays as they are now."""
    return {name: array.copy() for name, array in arrays.items()}


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call with options by their names or, where the function lacks one, by its synonym."""
    known = inspect.signature(function).parameters
    named = {
        name if name in known else SYNONYMS.get(name, name): value
        for name, value in options.items()
    }
    return function(*args, **named)


def joined(value: Any) -> str:
    """One digest of many arrays, whose names would be of no use."""
    return " ".join(f"{path} {_digest(part)}" for path, part in flat("", value))


def digests(cases: Cases, dtype: str) -> Iterator[tuple[str, str]]:
    """Run cases; yield the name and the digest of each array that they give."""
    for name, case in cases:
        try:
            arrays = list(flat(name, case(Draw(name, dtype))))
        except Exception as error:
            raise RuntimeError(f"the case {name} in {dtype} fails") from error
        yield from ((path, _digest(value)) for path, value in arrays)


def flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each array in nested dicts, tuples and lists; fields of a tuple by position."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from flat(f"{path}/{key}", part)
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from flat(f"{path}/{index}", part)
    else:
        yield path, value


def _digest(value: Any) -> str:
    """The sha256 of dtype, shape and bytes; of None, which is no array, that of its name."""
    if value is None or isinstance(value, str):
        return hashlib.sha256(repr(value).encode()).hexdigest()
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float)):
        raise TypeError(f"a case gave a {type(value).__name__}, which has no digest")
    array = np.asarray(value)
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()
