"""The memory of a run: what is alive, and how much a node would add, known from shapes alone."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from fastrnn import _check as check
from fastrnn._check import Array
from fastrnn.convert._onnx.graph import DTYPES, Node

MAX_BYTES = 2**30
MOST_AXES = 64  # of an array of NumPy


def checked(owner: str, max_bytes: Any) -> int:
    """Return `max_bytes` if it is one."""
    return check.size(owner, "max_bytes", max_bytes)


class Alive:
    """The bytes of what the nodes of a run made and is still used.

    A view belongs to its array; what came from the caller or the file is not counted.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._uses: dict[int, list[int]] = {}  # by the array's id: uses, bytes

    def require(self, node: str, more: int = 0) -> None:
        """Raise if there is no room for so many bytes more."""
        if self.bytes + more > self.max_bytes:
            needed = f"{self.bytes + more} bytes in use"
            raise ValueError(f"{node}: needs {needed}, max_bytes is {self.max_bytes}")

    def add(self, array: Array, *, free: bool = False) -> None:
        """Count one more use of an array; `free`: it takes no bytes."""
        whole = _whole(array)
        uses = self._uses.setdefault(id(whole), [0, 0 if free else whole.nbytes])
        self.bytes += 0 if uses[0] else uses[1]
        uses[0] += 1

    def drop(self, array: Array) -> None:
        """Count one use less."""
        key = id(_whole(array))
        uses = self._uses[key]
        uses[0] -= 1
        if not uses[0]:
            self.bytes -= uses[1]
            del self._uses[key]


def _whole(array: Array) -> Array:
    """Return the array that an array is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def ints(value: Array, most: int = MOST_AXES) -> list[Any]:
    """Return what a shape, axes or bounds are given by, which must be short, as a list."""
    if value.ndim > 1 or value.size > most:
        raise ValueError(f"must have at most {most} numbers in a row, got shape {value.shape}")
    return list(np.atleast_1d(value).tolist())


def _together(*arrays: Array, shape: tuple[int, ...] | None = None) -> int:
    """Return the bytes of numbers of the arrays' common type, by default of their common shape."""
    if shape is None:
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
    return int(prod(shape) * np.result_type(*arrays).itemsize)


def _constant_of_shape(node: Node, shape: Array) -> int:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return int(prod(ints(shape)) * value.itemsize)


def _expand(node: Node, x: Array, shape: Array) -> int:
    return int(prod(np.broadcast_shapes(x.shape, tuple(ints(shape)))) * x.itemsize)


def _gather(node: Node, x: Array, ids: Array) -> int:
    row = list(x.shape)
    del row[node.attributes.get("axis", 0)]
    return int(ids.size * prod(row) * x.itemsize)


def _gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> int:
    given = node.attributes
    shape = (
        a.shape[:: -1 if given.get("transA") else 1][0],
        b.shape[0 if given.get("transB") else 1],
    )
    if c is None:
        return _together(a, b, shape=shape)
    return _together(a, b, c, shape=np.broadcast_shapes(shape, c.shape))


def _matmul(node: Node, a: Array, b: Array) -> int:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return _together(a, b, shape=(*batch, *a.shape[-2:-1], *b.shape[-1:] * (b.ndim > 1)))


SIZES: dict[str, Callable[..., int]] = {
    "Add": lambda node, a, b: _together(a, b),
    "Cast": lambda node, x: x.size * DTYPES[node.attributes["to"]].itemsize,
    "Concat": lambda node, *parts: _together(*parts, shape=(sum(part.size for part in parts),)),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
"""The bytes of the result of each operator of `NUMPY_OPS` that can be larger than its inputs."""
