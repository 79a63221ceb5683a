"""A model without protobuf: nodes, named values and constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastrnn._check import Array, DType

# The supported types of tensors: TensorProto.DataType in onnx.proto3.
DTYPES: dict[int, DType] = {
    1: np.dtype(np.float32),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    11: np.dtype(np.float64),
}
TYPE_OF = {dtype: number for number, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Node:
    """One operator; a missing input or output is ""."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name for messages: the operator and its outputs."""
        made = next((name for name in self.outputs if name), "")
        return f"{self.op} (of {made!r})"


@dataclass(frozen=True)
class Value:
    """An input or output of the graph; a free size is a name, an unknown shape None."""

    name: str
    dtype: DType | None
    shape: tuple[int | str, ...] | None


@dataclass
class Graph:
    """Nodes in the order of computation."""

    nodes: list[Node]
    inputs: list[Value]
    outputs: list[Value]
    constants: dict[str, Array]
