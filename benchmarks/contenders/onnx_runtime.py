"""ONNX Runtime, for inference and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnxruntime

from cases import Array
from contenders.onnx_model import OnnxContender


class OnnxRuntime(OnnxContender):
    name = "ONNX Runtime"

    @classmethod
    def version(cls) -> str:
        return onnxruntime.__version__

    def _session(self, model: bytes, feeds: dict[str, Array]) -> Callable[[], Any]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        return lambda: session.run(None, feeds)


CONTENDER = OnnxRuntime
