"""Weights under PyTorch's and Keras's names, ONNX files, and operators with rare options."""

from __future__ import annotations

import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from digests.layers import RECURRENT, built
from digests.record import Array, Cases, Draw, copies
from fastrnn import convert
from fastrnn.models import LanguageModel

try:
    import onnx
except ImportError:
    onnx = None

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
# Each activation with its alpha and beta.
ACTIVATIONS: dict[str, tuple[float, ...]] = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "Affine": (0.5, 0.25),
    "LeakyRelu": (0.1,),
    "ThresholdedRelu": (0.3,),
    "ScaledTanh": (0.7, 0.6),
    "HardSigmoid": (0.3, 0.4),
    "Elu": (0.6,),
    "Softsign": (),
    "Softplus": (),
}
X = np.random.default_rng(0).normal(size=(2, 3, 4))
M = np.random.default_rng(1).normal(size=(4, 5))
# Operators between recurrent ones: inputs, attributes and the number of outputs.
BETWEEN: list[tuple[str, list[Any], dict[str, Any], int]] = [
    ("Add", [X, X[0]], {}, 1),
    ("Concat", [X, X[:, :1]], {"axis": 1}, 1),
    ("Expand", [X[:1], np.array([3, 1, 4])], {}, 1),
    ("Gather", [X, np.array([2, -1])], {"axis": 1}, 1),
    ("Gemm", [M, M, M[0]], {"transA": 1, "alpha": 0.5, "beta": 2.0}, 1),
    ("Identity", [X], {}, 1),
    ("MatMul", [X, M], {}, 1),
    ("Reshape", [X, np.array([0, -1])], {}, 1),
    ("Shape", [X], {}, 1),
    ("Slice", [X, *(np.array([k]) for k in (-1, -(2**62), 2, -2))], {}, 1),
    ("Split", [X, np.array([3, 1])], {"axis": -1}, 2),
    ("Squeeze", [X[:1], np.array([0])], {}, 1),
    ("Transpose", [X], {"perm": [1, 0, 2]}, 1),
    ("Unsqueeze", [X, np.array([1, -1])], {}, 1),
]


def cases() -> Cases:
    for variant, count, two in product(RECURRENT, (1, 3), (False, True)):
        run = partial(_weights, variant=variant, count=count, two=two)
        yield f"weights/{variant}/{count}/{2 if two else 1}", run
    yield "weights/others", _other_weights
    if onnx is None:
        return
    for variant, count, two in product(RECURRENT, (1, 3), (False, True)):
        run = partial(_file, variant=variant, count=count, two=two)
        yield f"onnx/{variant}/{count}/{2 if two else 1}", run
    for cell in ("rnn", "lstm", "gru"):
        yield f"onnx/model/{cell}", partial(_model_file, cell=cell)
    for op, inputs, attributes, outputs in BETWEEN:
        run = partial(_between, op=op, inputs=inputs, attributes=attributes, outputs=outputs)
        yield f"between/{op}", run
    for op, direction, index in product(GATES, DIRECTIONS, range(12)):
        run = partial(_operator, op=op, direction=direction, index=index)
        yield f"operator/{op}/{direction}/{index}", run


def _weights(draw: Draw, variant: str, count: int, two: bool) -> Any:
    layer = built(draw, variant, 5, 6, count, bidirectional=two)
    results = {}
    if variant != "gru_before":
        results["torch"] = convert.state_dict(layer)
        other = built(draw, variant, 5, 6, count, bidirectional=two)
        convert.load_state_dict(other, {key: draw.like(a) for key, a in results["torch"].items()})
        results["from_torch"] = copies(other.params)
    if count == 1:
        results["keras"] = convert.to_keras_weights(layer)
        results["from_keras"] = convert.from_keras(draw.like(results["keras"])).params
    return results


def _other_weights(draw: Draw) -> Any:
    results = []
    for layer in (
        fastrnn.Linear(5, 7, dtype=draw.dtype),
        fastrnn.Embedding(9, 4, dtype=draw.dtype),
    ):
        draw.params_of(layer)
        results.append([convert.state_dict(layer), convert.to_keras_weights(layer)])
        convert.load_keras_weights(layer, draw.like(results[-1][1]))
        results.append(copies(layer.params))
    return results


def _ran_from_file(model: Any, inputs: dict[str, Array], **options: bool) -> Any:
    """Outputs of a model through an ONNX file, and the parameters of the layers read back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        convert.to_onnx(model, path, **options)
        read = convert.from_onnx(path)
    return read.inputs, read.outputs, read(**inputs), [layer.params for layer in read.layers]


def _file(draw: Draw, variant: str, count: int, two: bool) -> Any:
    layer = built(draw, variant, 5, 7, count, bidirectional=two, residual=count > 2)
    x, lengths = draw.normal(4, 6, 5), draw.lengths(4, 6)
    state = draw.like(layer.init_state(4))
    names = ("h0", "c0") if variant == "lstm" else ("h0",)
    given = dict(zip(names, state if variant == "lstm" else (state,), strict=True))
    inputs = {"x": x, "lengths": lengths, **given}
    return [
        _ran_from_file(layer, {"x": x}),
        _ran_from_file(layer, inputs, lengths=True, state=True),
    ]


def _model_file(draw: Draw, cell: str) -> Any:
    model = draw.params_of(LanguageModel(9, 5, 7, cell=cell, num_layers=2, dtype=draw.dtype))
    layers = [fastrnn.Embedding(8, 5, dtype=draw.dtype), fastrnn.LSTM(5, 4, dtype=draw.dtype)]
    layers += [fastrnn.GRU(4, 6, dtype=draw.dtype), fastrnn.Linear(6, 3, dtype=draw.dtype)]
    for layer in layers:
        draw.params_of(layer)
    ids = draw.ids(8, 3, 5)
    return [_ran_from_file(each, {"ids": ids}) for each in (model.eval(), layers)]


def _activations(draw: Draw, op: str, count: int) -> dict[str, Any]:
    """The attributes of random activations."""
    names = [str(name) for name in draw.rng.choice(list(ACTIVATIONS), count)]
    alpha = [ACTIVATIONS[name][0] for name in names if len(ACTIVATIONS[name]) > 0]
    beta = [ACTIVATIONS[name][1] for name in names if len(ACTIVATIONS[name]) > 1]
    given = {"activation_alpha": alpha, "activation_beta": beta}
    return {"activations": names} | {key: value for key, value in given.items() if value}


def _operator(draw: Draw, op: str, direction: str, index: int) -> Any:
    """An operator with random options, in the first three cases those of built-in cells."""
    T, N, D, H = (
        int(draw.rng.integers(low, high)) for low, high in ((1, 6), (1, 5), (1, 8), (1, 9))
    )
    dirs, G = DIRECTIONS[direction], GATES[op] * H
    attributes: dict[str, Any] = {"hidden_size": H, "direction": direction}
    if op == "GRU":
        attributes["linear_before_reset"] = int(draw.coin())
    inputs: list[Any] = [draw.normal(T, N, D), draw.normal(dirs, G, D, scale=0.5)]
    inputs += [draw.normal(dirs, G, H, scale=0.5), draw.normal(dirs, 2 * G, scale=0.5)]
    inputs.append(draw.lengths(N, T).astype(np.int32) if draw.coin() else None)
    inputs += [draw.normal(dirs, N, H) if draw.coin() else None for _ in range(1 + (op == "LSTM"))]
    if index > 2:
        attributes |= _activations(draw, op, dirs * {"RNN": 1, "GRU": 2, "LSTM": 3}[op])
        attributes |= {"clip": 0.6} if draw.coin() else {}
        if op == "LSTM":
            attributes |= {"input_forget": int(draw.coin())}
            inputs.append(draw.normal(dirs, 3 * H, scale=0.5) if draw.coin() else None)
    names = ["" if value is None else f"i{k}" for k, value in enumerate(inputs)]
    outputs = ["Y", "Y_h", "Y_c"][: 2 + (op == "LSTM")]
    node = onnx.helper.make_node(op, names, outputs, **attributes)
    return convert.onnx_backend.run_node(node, [value for value in inputs if value is not None])


def _between(
    draw: Draw, op: str, inputs: list[Array], attributes: dict[str, Any], outputs: int
) -> Any:
    """An operator on fixed inputs, the floating ones in the dtype of the case."""
    given = [value if value.dtype == np.int64 else value.astype(draw.dtype) for value in inputs]
    names = [f"i{k}" for k in range(len(given))]
    node = onnx.helper.make_node(op, names, [f"o{k}" for k in range(outputs)], **attributes)
    return convert.onnx_backend.run_node(node, given)
