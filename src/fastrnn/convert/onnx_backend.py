"""fastrnn as a backend of the onnx package: its recurrent operators on the CPU.

`onnx.backend.test.BackendTest` and other users of `onnx.backend.base` accept this module::

    import fastrnn.convert.onnx_backend as backend

    outputs = backend.prepare(model).run(inputs)

Operators and opsets are those of `fastrnn.convert.from_onnx`; here the weights may be inputs, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastrnn._check import Array
from fastrnn.convert._onnx import files
from fastrnn.convert._onnx.memory import MAX_BYTES, checked
from fastrnn.convert._onnx.model import OnnxModel
from fastrnn.convert._onnx.model import prepare as prepared
from fastrnn.convert._onnx.program import Program, check_known

if TYPE_CHECKING:
    from onnx.backend import base
else:
    base = files.package("onnx.backend.base")

__all__ = ["Backend", "BackendRep", "is_compatible", "prepare", "run_model", "run_node"]
__all__ += ["supports_device"]


class BackendRep(base.BackendRep):
    """A model ready to run."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Array, ...]:
        """Return the outputs from the inputs in order, by name, or the single input."""
        if isinstance(inputs, Mapping):
            return self._model(**inputs)
        return self._model(*(inputs if isinstance(inputs, (list, tuple)) else [inputs]))


class Backend(base.Backend):
    """The kernels of fastrnn with the interface of onnx."""

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **kwargs: Any) -> bool:
        """Return whether `prepare` accepts a model."""
        try:
            prepared("model", model, constant_weights=False)
        except (ValueError, TypeError):
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(
        cls, model: Any, device: str = "CPU", *, max_bytes: int = MAX_BYTES, **kwargs: Any
    ) -> BackendRep:
        """Return a ModelProto ready to run, with `max_bytes` as for `fastrnn.convert.from_onnx`.

        Its external data must have been loaded.

        Raises
        ------
        ValueError, TypeError
            As for `fastrnn.convert.from_onnx`, or if the device is not the CPU.
        """
        cls._check_device(device)
        max_bytes = checked("prepare", max_bytes)
        files.require_texts(model)
        program = prepared("model", model, constant_weights=False, max_bytes=max_bytes)
        return BackendRep(OnnxModel(program))

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Array, ...]:
        """Return the outputs of a NodeProto from its inputs in order, without missing ones."""
        cls._check_device(device)
        super().run_node(node, inputs, device, outputs_info, **kwargs)  # checks the node
        helper = files.package("onnx.helper")
        names, given = [name for name in node.input if name], list(inputs)
        values = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in zip(names, given, strict=True)
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
        graph = files.graph_of(helper.make_graph([node], "node", values, outputs))
        check_known("node", graph)
        return OnnxModel(Program("node", graph, constant_weights=False))(*given)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether the device is the CPU."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise ValueError(f"onnx_backend: device must be CPU, got {device!r}")


is_compatible = Backend.is_compatible
prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
