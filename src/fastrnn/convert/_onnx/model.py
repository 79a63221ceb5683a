"""Import of ONNX files: `from_onnx`."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from fastrnn._check import Array
from fastrnn.convert._onnx import files
from fastrnn.convert._onnx.layers import layers_of
from fastrnn.convert._onnx.memory import MAX_BYTES, checked
from fastrnn.convert._onnx.program import Program, check_known
from fastrnn.layers import Layer


def from_onnx(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> OnnxModel:
    """Read an ONNX file (opset 7 to 22) of the operators RNN, LSTM and GRU.

    The other operators may be those that `to_onnx` and PyTorch's export write (Transpose, Reshape,
    Gather, MatMul and others; the error message lists them). Weights must be constants of the file,
    float32 or float64.

    Parameters
    ----------
    path : path-like
        The file. External data are read from files of its folder, not through links.
    max_bytes : int
        The most that a run may hold besides its inputs and the file's constants, and that the
        external data may take; the default is 1 GiB. A small file can ask for any amount.

    Returns
    -------
    OnnxModel
        A function of the inputs of the file; its `layer` is the fastrnn layer, if there is one.

    Raises
    ------
    OSError
        If the file is missing or not readable.
    ValueError
        If it is not an ONNX file, has an unsupported opset, operator, attribute or shape, has
        local functions, weights that are not constants, or external data outside its folder or
        above `max_bytes`.
    TypeError
        If a dtype is neither float32 nor float64.
    ImportError
        If onnx is not installed.

    Notes
    -----
    The final state of a sequence of length 0, which ONNX does not define, is the initial state (in
    ONNX Runtime zeros).
    """
    owner = os.fspath(path)
    max_bytes = checked("from_onnx", max_bytes)
    model = files.load(path, max_bytes)
    return OnnxModel(prepare(owner, model, constant_weights=True, max_bytes=max_bytes))


def prepare(
    owner: str, model: Any, *, constant_weights: bool, max_bytes: int = MAX_BYTES
) -> Program:
    """Return a ModelProto made ready to run."""
    graph = files.to_graph(owner, model)
    check_known(owner, graph)
    files.check(owner, model)
    return Program(owner, graph, constant_weights=constant_weights, max_bytes=max_bytes)


class OnnxModel:
    """A model from an ONNX file.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names in the file.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self.inputs = tuple(value.name for value in program.graph.inputs)
        self.outputs = tuple(value.name for value in program.graph.outputs)

    def __call__(self, *inputs: Any, **named: Any) -> tuple[Array, ...]:
        """Return the outputs from all inputs in order or by name.

        Raises
        ------
        ValueError
            If an input is missing or unknown, a shape or a length is wrong, or an operator needs
            more than `max_bytes`.
        TypeError
            If a dtype is wrong.
        """
        if len(inputs) > len(self.inputs):
            wanted = f"{len(self.inputs)} inputs, got {len(inputs)}"
            raise ValueError(f"{self._program.owner}: takes {wanted}")
        return self._program.run(dict(zip(self.inputs, inputs, strict=False)) | named)

    @cached_property
    def layers(self) -> list[Layer]:
        """The fastrnn layers of the file.

        They exist if the file is from `to_onnx` or is a single recurrent operator with constant
        weights and options of a layer.

        Raises
        ------
        ValueError
            If there are none.
        """
        return layers_of(self._program)

    @property
    def layer(self) -> Layer:
        """The only fastrnn layer of the file.

        Raises
        ------
        ValueError
            If there is none, or more than one.
        """
        if len(self.layers) > 1:
            names = ", ".join(type(layer).__name__ for layer in self.layers)
            raise ValueError(f"{self._program.owner}: has several layers ({names}), see layers")
        return self.layers[0]
