"""The operators between recurrent ones in files of `to_onnx` and PyTorch, in NumPy.

Each is a function of the node and its inputs; a missing input is None. Some inputs were attributes
in earlier opsets; both forms are accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn import ops
from fastrnn._check import Array
from fastrnn.convert._onnx import memory
from fastrnn.convert._onnx.graph import DTYPES, Node


def _given(node: Node, name: str, value: Any) -> Any:
    """Return an input or, if it is missing, the attribute, or None."""
    return node.attributes.get(name) if value is None else memory.ints(value)


def _constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.full(memory.ints(shape), value[0], value.dtype)


def _expand(node: Node, x: Array, shape: Array) -> Array:
    return np.array(np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(memory.ints(shape)))))


def _gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    given = node.attributes
    a, b = a.T if given.get("transA") else a, b.T if given.get("transB") else b
    product: Array = given.get("alpha", 1.0) * (a @ b)
    return product if c is None else product + given.get("beta", 1.0) * c


def _linear(node: Node, x: Array, W: Array) -> Array:
    return ops.linear(x, W) if W.ndim == 2 else x @ W


def _reshape(node: Node, x: Array, shape: Array) -> Array:
    """Reshape x; a 0 in the shape copies the size of x unless `allowzero`."""
    keep = not node.attributes.get("allowzero", 0)
    sizes = memory.ints(shape)
    return x.reshape([x.shape[k] if keep and size == 0 else size for k, size in enumerate(sizes)])


def _shape(node: Node, x: Array) -> Array:
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return np.array(x.shape[start:end], np.int64)


def _slice(
    node: Node, x: Array, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Array:
    starts, ends = _given(node, "starts", starts), _given(node, "ends", ends)
    axes = _given(node, "axes", axes) or range(len(starts))
    steps = _given(node, "steps", steps) or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, *bounds in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(*bounds)
    return x[tuple(index)]


def _split(node: Node, x: Array, sizes: Any = None) -> list[Array]:
    """Split x into parts of these sizes, or into one equal part for each output."""
    sizes = node.attributes.get("split") if sizes is None else memory.ints(sizes, len(node.outputs))
    at = len(node.outputs) if sizes is None else np.cumsum(sizes)[:-1]
    return np.split(x, at, node.attributes.get("axis", 0))


def _squeeze(node: Node, x: Array, axes: Any = None) -> Array:
    """Remove these axes of size one, or all."""
    axes = _given(node, "axes", axes)
    return x.squeeze(None if axes is None else tuple(axes))


NUMPY_OPS: dict[str, Callable[..., Any]] = {
    "Add": lambda node, a, b: a + b,
    "Cast": lambda node, x: x.astype(DTYPES[node.attributes["to"]]),
    "Concat": lambda node, *parts: np.concatenate(parts, node.attributes["axis"]),
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": lambda node, x, ids: np.take(x, ids, node.attributes.get("axis", 0)),
    "Gemm": _gemm,
    "Identity": lambda node, x: x,
    "MatMul": _linear,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": lambda node, x: x.transpose(node.attributes.get("perm")),
    "Unsqueeze": lambda node, x, axes=None: np.expand_dims(x, _given(node, "axes", axes)),
}
