"""The operators between recurrent ones, against the reference evaluator and PyTorch's own files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fastrnn.convert import from_onnx, onnx_backend

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 3, 4))
M = RNG.normal(size=(4, 5))


def ints(*values):
    return np.array(values, np.int64)


# The operator, its opset, its inputs, its attributes and the number of its outputs.
NODES = [
    ("Add", 14, [X, X[0]], {}, 1),
    ("Cast", 14, [X], {"to": TensorProto.FLOAT}, 1),
    ("Concat", 14, [X, X[:, :1]], {"axis": 1}, 1),
    ("Concat", 14, [X, X, X], {"axis": -1}, 1),
    ("ConstantOfShape", 14, [ints(2, 0, 3)], {}, 1),
    ("ConstantOfShape", 14, [ints(2, 3)], {"value": numpy_helper.from_array(ints(7))}, 1),
    ("Expand", 14, [X[:1], ints(3, 1, 4)], {}, 1),
    ("Gather", 14, [X, ints(2, -1)], {"axis": 1}, 1),
    ("Gather", 14, [M, ints(2, 0, 1).reshape(3, 1)], {}, 1),
    ("Gemm", 14, [M, M], {"transB": 1, "alpha": 0.5}, 1),
    ("Gemm", 14, [M, M, M[0]], {"transA": 1, "beta": 2.0}, 1),
    ("Identity", 14, [X], {}, 1),
    ("MatMul", 14, [X, M], {}, 1),
    ("MatMul", 14, [X, X.swapaxes(1, 2).copy()], {}, 1),
    ("Reshape", 14, [X, ints(0, -1)], {}, 1),
    ("Reshape", 14, [X[:0], ints(0, 12)], {"allowzero": 1}, 1),
    ("Shape", 14, [X], {}, 1),
    ("Shape", 15, [X], {"start": 1, "end": -1}, 1),
    ("Slice", 9, [X], {"starts": [1, 0], "ends": [3, 1], "axes": [2, 0]}, 1),
    ("Slice", 14, [X, ints(1), ints(2)], {}, 1),
    ("Slice", 14, [X, ints(-1), ints(-(2**62)), ints(2), ints(-2)], {}, 1),
    ("Split", 11, [X], {"axis": 2, "split": [1, 3]}, 2),
    ("Split", 13, [X, ints(3, 1)], {"axis": -1}, 2),
    ("Split", 13, [X], {}, 2),
    ("Squeeze", 11, [X[:1]], {"axes": [0]}, 1),
    ("Squeeze", 13, [X[:1, :, :1], ints(-1)], {}, 1),
    ("Squeeze", 13, [X[:1, :, :1]], {}, 1),
    ("Transpose", 14, [X], {}, 1),
    ("Transpose", 14, [X], {"perm": [1, 0, 2]}, 1),
    ("Unsqueeze", 11, [X], {"axes": [0, 2]}, 1),
    ("Unsqueeze", 13, [X, ints(1, -1)], {}, 1),
]


def model(op, opset, inputs, attributes, outputs, dtype):
    names = [f"in{k}" for k in range(len(inputs))]
    made = [f"out{k}" for k in range(outputs)]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in zip(names, inputs, strict=True)
    ]
    node = helper.make_node(op, names, made, **attributes)
    graph = helper.make_graph(
        [node], "g", infos, [helper.make_tensor_value_info(n, dtype, None) for n in made]
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(("op", "opset", "inputs", "attributes", "outputs"), NODES)
def test_an_operator_is_as_in_the_reference_evaluator(op, opset, inputs, attributes, outputs):
    proto = model(op, opset, inputs, attributes, outputs, TensorProto.DOUBLE)
    feeds = {f"in{k}": array for k, array in enumerate(inputs)}
    wanted = ReferenceEvaluator(proto).run(None, feeds)
    graph = proto.graph
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(
            f"out{k}", helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype), [None] * np.ndim(a)
        )
        for k, a in enumerate(wanted)
    )
    came = onnx_backend.prepare(proto).run(feeds)
    for a, b in zip(came, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_files_that_pytorch_writes(tmp_path, name, bidirectional):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = getattr(torch.nn, name)(3, 4, 2, bidirectional=bidirectional, batch_first=True).eval()
    path, axes = tmp_path / "torch.onnx", {"x": {0: "N", 1: "T"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.randn(2, 5, 3),),
            path,
            input_names=["x"],
            dynamic_axes=axes,
            dynamo=False,
            opset_version=14,
        )
    x = torch.randn(4, 6, 3)
    y, state = module(x)
    wanted = [y, *(state if isinstance(state, tuple) else [state])]
    for a, b in zip(from_onnx(path)(x.numpy()), wanted, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-5)
