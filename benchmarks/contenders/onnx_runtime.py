"""ONNX Runtime: models of one operator LSTM, GRU or RNN, for inference and steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cases import Array, Recurrent
from contenders.base import Contender, Task


class OnnxRuntime(Contender):
    name = "ONNX Runtime"

    @classmethod
    def version(cls) -> str:
        return onnxruntime.__version__

    def inference(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        run = self._session(case, arrays, arrays["x"])

        def read(result: list[Array]) -> list[Array]:
            y, *states = result
            return [y[:, 0].swapaxes(0, 1), *(state[0] for state in states)]

        return Task(run, read)

    def step(self, case: Recurrent) -> Task:
        arrays = case.arrays()
        run = self._session(case, arrays, arrays["x"][:, :1])
        return Task(run, lambda result: [state[0] for state in result[1:]])

    def _session(self, case: Recurrent, arrays: dict[str, Array], x: Array) -> Any:
        """A call of a model that holds the weights, on time-major inputs."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            _model(case, arrays).SerializeToString(), options, ["CPUExecutionProvider"]
        )
        feeds = {"X": np.ascontiguousarray(x.swapaxes(0, 1))}
        feeds |= {f"initial_{part}": arrays[f"{part}0"][None] for part in case.states}
        return lambda: session.run(None, feeds)


def _model(case: Recurrent, arrays: dict[str, Array]) -> Any:
    operator, attributes = case.row.title, {}
    if case.row.split_bias:
        attributes = {"linear_before_reset": int(case.splits_bias)}
    parts = case.states
    outputs = ["Y", *(f"Y_{part}" for part in parts)]
    initial = [f"initial_{part}" for part in parts]
    node = helper.make_node(
        operator,
        ["X", "W", "R", "B", "", *initial],  # "": no sequence_lens
        outputs,
        hidden_size=case.H,
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "benchmark",
        [_value(name, rank=3) for name in ("X", *initial)],
        [_value("Y", rank=4), *(_value(name, rank=3) for name in outputs[1:])],
        [numpy_helper.from_array(a, name) for name, a in _weights(case, arrays).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def _value(name: str, *, rank: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank)


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


CONTENDER = OnnxRuntime
