"""Models of one ONNX operator LSTM, GRU or RNN, and the tasks of the libraries that run them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cases import Array, Recurrent
from contenders.base import Contender, Task


class OnnxContender(Contender):
    """A library that runs ONNX models, for inference and steps."""

    def inference(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        run = self._of(case, arrays, arrays["x"])

        def read(result: Any) -> list[Array]:
            y, *states = self._outputs(result)
            return [y[:, 0].swapaxes(0, 1), *(state[0] for state in states)]

        return Task(run, read)

    def step(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        run = self._of(case, arrays, arrays["x"][:, :1])
        return Task(run, lambda result: [state[0] for state in self._outputs(result)[1:]])

    def _of(self, case: Recurrent, arrays: dict[str, Array], x: Array) -> Callable[[], Any]:
        """A call of a model that holds the weights, on time-major inputs."""
        feeds = {"X": np.ascontiguousarray(x.swapaxes(0, 1))}
        feeds |= {f"initial_{part}": arrays[f"{part}0"][None] for part in case.states}
        return self._session(_model(case, arrays, feeds).SerializeToString(), feeds)

    def _session(self, model: bytes, feeds: dict[str, Array]) -> Callable[[], Any]:
        """A call of the model on these inputs."""
        raise NotImplementedError

    def _outputs(self, result: Any) -> list[Array]:
        """The arrays of a call's result: Y, then Y_h (and Y_c)."""
        return list(result)


def _model(case: Recurrent, arrays: dict[str, Array], feeds: dict[str, Array]) -> Any:
    """The model; its inputs have the shapes of `feeds`, as a library may plan by them."""
    operator, attributes = case.row.title, {}
    if case.row.split_bias:
        attributes = {"linear_before_reset": int(case.splits_bias)}
    outputs = ["Y", *(f"Y_{part}" for part in case.states)]
    x, *initial = feeds
    node = helper.make_node(
        operator,
        [x, "W", "R", "B", "", *initial],  # "": no sequence_lens
        outputs,
        hidden_size=case.H,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "benchmark",
        [_value(name, array.shape) for name, array in feeds.items()],
        [_value("Y", [None] * 4), *(_value(name, [None] * 3) for name in outputs[1:])],
        [numpy_helper.from_array(a, name) for name, a in _weights(case, arrays).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def _value(name: str, shape: Any) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weights(case: Recurrent, arrays: dict[str, Array]) -> dict[str, Array]:
    """W (1, G*H, D), R (1, G*H, H) and B (1, 2*G*H): gates reordered, one leading direction."""

    def rows(matrix: Array) -> Array:
        gates = dict(zip(case.row.gates, np.split(matrix.T, len(case.row.gates)), strict=True))
        return np.concatenate([gates[gate] for gate in case.row.order("onnx")])[None]

    second = np.zeros_like(arrays["b"])
    if "bh" in arrays:
        second[-case.H :] = arrays["bh"]
    return {
        "W": rows(arrays["Wx"]),
        "R": rows(arrays["Wh"]),
        "B": np.concatenate([rows(arrays["b"]), rows(second)], axis=1),
    }
