"""OpenVINO, for inference and steps: its CPU plugin runs all cells as one operation of oneDNN."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import openvino

from cases import Array
from contenders.onnx_model import OnnxContender


class OpenVino(OnnxContender):
    name = "OpenVINO"

    @classmethod
    def version(cls) -> str:
        return openvino.__version__.split("-")[0]  # without the build

    def _session(self, model: bytes, feeds: dict[str, Array]) -> Callable[[], Any]:
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",  # by default bfloat16 where a processor has it
            "PERFORMANCE_HINT": "LATENCY",  # all threads in one call
            "ENABLE_CPU_PINNING": False,  # no faster here, and other load would not move away
        }
        compiled = _core().compile_model(_core().read_model(model), "CPU", settings)
        request = compiled.create_infer_request()
        request.set_tensors({name: openvino.Tensor(array) for name, array in feeds.items()})
        return lambda: request.infer(share_outputs=True)  # copies neither inputs nor outputs

    def _outputs(self, result: Any) -> list[Array]:
        return list(result.values())


@cache
def _core() -> Any:
    return openvino.Core()


CONTENDER = OpenVino
