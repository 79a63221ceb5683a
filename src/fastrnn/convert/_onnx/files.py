"""ONNX's protobuf to and from `Graph`; only this file and the backend need onnx."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn import _storage
from fastrnn._check import Array
from fastrnn.convert._onnx import external
from fastrnn.convert._onnx.graph import DTYPES, TYPE_OF, Graph, Node, Value

OPSETS = range(7, 23)  # opsets that `from_onnx` reads
OPSET = 14  # opset that `to_onnx` writes
IR_VERSION = 7  # of the ONNX release with this opset

# The attributes of a Constant node, with the dtype of the array (None: that of the value).
CONSTANTS = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def package(name: str = "onnx") -> Any:
    """Return a module of the onnx package; the ImportError without it has the pip command."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        extra = "pip install 'fastrnn[interop]'"
        raise ImportError(f"fastrnn.convert needs the package onnx: {extra}") from error


def load(path: str | os.PathLike[str], max_bytes: int) -> Any:
    """Return the model (a ModelProto) of a file, or raise ValueError if it is not an ONNX file.

    External data may take `max_bytes`.
    """
    onnx = package()
    data = Path(path).read_bytes()
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's DecodeError, whose place depends on the version
        raise ValueError(f"{os.fspath(path)}: not an ONNX file") from None
    if not (model.ir_version and model.opset_import and model.HasField("graph")):
        raise ValueError(f"{os.fspath(path)}: not an ONNX file")
    try:
        require_texts(model)
        external.read_all(model, os.path.dirname(os.path.abspath(path)), max_bytes)
    except (OSError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)}: {_first_line(error)}") from None
    return model


def require_texts(message: Any) -> None:
    """Raise ValueError if a text in a message is not UTF-8: protobuf hands that out as bytes."""
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_MESSAGE, field.TYPE_STRING):
            continue
        alone = isinstance(value, str | bytes) or not isinstance(value, Sequence)
        for part in [value] if alone else value:
            if isinstance(part, bytes):
                raise ValueError(f"{field.full_name} must be a text in UTF-8, got {part[:40]!r}")
            if not isinstance(part, str):
                require_texts(part)


def to_graph(owner: str, model: Any) -> Graph:
    """Return the graph of a model, with its opset checked."""
    if model.functions:  # which would take the place of operators
        names = ", ".join(sorted({repr(function.name) for function in model.functions}))
        raise ValueError(f"{owner}: functions of a file are not supported, it has {names}")
    opsets = {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")} or {None}
    if not opsets <= {*OPSETS} or len(opsets) > 1:
        wanted = f"{OPSETS[0]} to {OPSETS[-1]}"
        came = " and ".join(map(str, opsets))
        raise ValueError(f"{owner}: opset must be {wanted}, got {came}")
    try:
        graph = graph_of(model.graph)
        for value in (*graph.inputs, *graph.outputs):
            if not value.name.isprintable():
                raise ValueError(f"the name {value.name!r} must be printable")
        return graph
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{owner}: {_first_line(error)}") from None


def check(owner: str, model: Any) -> None:
    """Check a model with the checker of ONNX."""
    checker = package("onnx.checker")
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:  # ValueError: a broken text
        raise ValueError(f"{owner}: {_first_line(error)}") from None


def write(path: str | os.PathLike[str], graph: Graph) -> None:
    """Write a file; after an error an existing file is unchanged."""
    onnx = package()
    nodes = [
        onnx.helper.make_node(
            node.op, node.inputs, node.outputs, node.outputs[0], **node.attributes
        )
        for node in graph.nodes
    ]
    constants = [onnx.numpy_helper.from_array(a, name) for name, a in graph.constants.items()]
    inputs, outputs = ([_info(onnx, v) for v in values] for values in (graph.inputs, graph.outputs))
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "fastrnn", inputs, outputs, constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fastrnn",
    )
    _storage.write_bytes(path, model.SerializeToString())


def _info(onnx: Any, value: Value) -> Any:
    assert value.dtype is not None
    return onnx.helper.make_tensor_value_info(value.name, TYPE_OF[value.dtype], value.shape)


def graph_of(proto: Any) -> Graph:
    """Return a GraphProto as a graph; a Constant node becomes a constant."""
    constants = {tensor.name: _array(tensor) for tensor in proto.initializer}
    nodes = []
    for node in map(_node, proto.node):
        if node.op == "Constant" and (kind := next(iter(node.attributes), "")) in CONSTANTS:
            constants[node.outputs[0]] = np.asarray(node.attributes[kind], CONSTANTS[kind])
        else:
            nodes.append(node)
    inputs = [_value(value) for value in proto.input if value.name not in constants]
    return Graph(nodes, inputs, [_value(value) for value in proto.output], constants)


def _node(proto: Any) -> Node:
    """Return a NodeProto as a node; operators of other domains have the domain as a prefix."""
    values = {a.name: package("onnx.helper").get_attribute_value(a) for a in proto.attribute}
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
    return Node(
        domain + proto.op_type,
        tuple(proto.input),
        tuple(proto.output),
        {name: _plain(value) for name, value in values.items()},
    )


def _plain(value: Any) -> Any:
    """Return an attribute's value with text as str and a tensor as an array."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, package().TensorProto):
        return _array(value)
    return [_plain(entry) for entry in value] if isinstance(value, list) else value


def _array(tensor: Any) -> Array:
    if external.is_external(tensor):  # onnx would read whatever file it names
        raise ValueError(
            f"external data of {tensor.name!r}: from_onnx reads them only for constants"
        )
    array: Array = package("onnx.numpy_helper").to_array(tensor)
    return array


def _value(proto: Any) -> Value:
    """Return a ValueInfoProto as a value."""
    tensor = proto.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value or d.dim_param or "?" for d in tensor.shape.dim)
    return Value(proto.name, DTYPES.get(tensor.elem_type), shape)


def _first_line(error: Exception) -> str:
    """Return one line; names in it may hold what a terminal would obey."""
    line = str(error).strip().partition("\n")[0]
    return line if line.isprintable() else ascii(line)[1:-1]
