"""What is wrong with a file or an argument is said on one line, before anything is done."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import fastrnn

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from fastrnn.convert import from_onnx, onnx_backend, to_onnx

FLOAT, FLOAT16, INT32 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32


def save(
    path,
    *,
    op="LSTM",
    W=(1, 16, 3),
    R=(1, 16, 4),
    B=(1, 32),
    opset=14,
    dtype=np.float32,
    element=FLOAT,
    constant=True,
    extra=(),
    domain="",
    opsets=(),
    functions=(),
    **attributes,
):
    """Write a file of one operator, by default an LSTM that is right."""
    rng = np.random.default_rng(0)
    shapes = {"W": W, "R": R, "B": B}
    arrays = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    inputs = [helper.make_tensor_value_info("X", element, ["T", "N", 3])]
    if not constant:
        inputs += [helper.make_tensor_value_info(n, element, s) for n, s in shapes.items()]
    node = helper.make_node(op, ["X", *shapes], ["Y", "Y_h"], domain=domain, **attributes)
    graph = helper.make_graph(
        [node, *extra],
        "graph",
        inputs,
        [helper.make_tensor_value_info("Y", element, [None] * 4)],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()] if constant else [],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1), *opsets]
    options = {"opset_imports": opsets, "ir_version": 8, "functions": functions}
    onnx.save(helper.make_model(graph, **options), path)
    return path


def message(error, action, *args, **options):
    """Return the one line of the error that an action raises."""
    with pytest.raises(error) as caught:
        action(*args, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_file_is_right_if_nothing_is_changed(tmp_path):
    assert from_onnx(save(tmp_path / "m.onnx")).layer.hidden_size == 4


WRONG = {
    "opset must be 7 to 22, got 6": {"opset": 6},
    "opset must be 7 to 22, got 23": {"opset": 23},
    "unknown operators 'Cos'; known are RNN, LSTM, GRU, Add": {
        "extra": [helper.make_node("Cos", ["Y"], ["Z"])]
    },
    "unknown operators 'com.microsoft.LSTM'": {"domain": "com.microsoft"},
    "activations must be among Relu, Tanh, .*, got 'Swish'": {
        "activations": ["Sigmoid", "Swish", "Tanh"]
    },
    "activations must be 3 names, got 2": {"activations": ["Sigmoid", "Tanh"]},
    "Affine needs a value in activation_alpha": {"activations": ["Sigmoid", "Affine", "Tanh"]},
    "activation_alpha has 1 values more than Sigmoid, Tanh, Tanh take": {"activation_alpha": [0.5]},
    "W, R, B must be constants of the file": {"constant": False},
    r"R must have shape \(1, 16, 4\), got \(1, 12, 4\)": {"R": (1, 12, 4)},
    r"W must have shape \(1, 16, D\), got \(1, 12, 3\)": {"W": (1, 12, 3)},
    r"B must have shape \(1, 32\), got \(1, 16\)": {"B": (1, 16)},
    r"R must have shape \(1, 20, 5\), got \(1, 16, 4\)": {"hidden_size": 5},
    r"R must have shape \(2, 4\*H, H\), got \(1, 16, 4\)": {"direction": "bidirectional"},
    "direction must be one of forward, reverse, bidirectional, got 'up'": {"direction": "up"},
    "layout must be 0 or 1, got 2": {"layout": 2},
    "clip must be above 0, got -1.0": {"clip": -1.0},
    "opset must be 7 to 22, got 14 and 15": {"opsets": [helper.make_opsetid("ai.onnx", 15)]},
    "functions of a file are not supported, it has 'LSTM'": {
        "functions": [
            helper.make_function(
                "",
                "LSTM",
                ["X", "W", "R", "B"],
                ["Y", "Y_h"],
                [helper.make_node("Identity", ["X"], [name]) for name in ("Y", "Y_h")],
                [helper.make_opsetid("", 14)],
            )
        ]
    },
    "Unrecognized attribute: layout for operator LSTM": {"opset": 7, "layout": 1},
    "Nodes in a graph must be topologically sorted": {
        "extra": [helper.make_node("Add", ["Y", "nothing"], ["Z"])]
    },
}


@pytest.mark.parametrize(("wanted", "change"), WRONG.items())
def test_a_file_that_is_wrong(tmp_path, wanted, change):
    path = save(tmp_path / "m.onnx", **change)
    text = message(ValueError, from_onnx, path)
    assert text.startswith(str(path)) and re.search(wanted, text)


def test_a_wrong_dtype(tmp_path):
    path = save(tmp_path / "m.onnx", dtype=np.float16, element=FLOAT16)
    assert "input 'X' must be one of float32, int32, int64, float64" in message(
        TypeError, from_onnx, path
    )
    path = save(tmp_path / "m.onnx", dtype=np.float16)
    assert "W must be float32 or float64, got float16" in message(
        (TypeError, ValueError), from_onnx, path
    )


@pytest.mark.parametrize("content", [b"", b"\x00" * 50, b"not a model", b"PK\x03\x04 zip", None])
def test_a_file_that_is_not_onnx(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is None:  # truncated
        content = save(path).read_bytes()[:-100]
    path.write_bytes(content)
    assert message(ValueError, from_onnx, path) == f"{path}: not an ONNX file"


@pytest.mark.parametrize("place", ["input", "output", "node"])
def test_a_name_that_a_terminal_would_obey(tmp_path, place):
    path = save(tmp_path / "m.onnx")
    model = onnx.load(path)
    if place == "node":
        model.graph.node[0].input[0] = "\x1b[2J\nX"
    else:
        getattr(model.graph, place)[0].name = "\x1b[2J\nX"
    path.write_bytes(model.SerializeToString())
    assert message(ValueError, from_onnx, path).isprintable()


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")


def test_a_missing_file_of_external_data(tmp_path):
    model = onnx.load(save(tmp_path / "m.onnx"))
    onnx.save(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    assert from_onnx(tmp_path / "m.onnx").layer.hidden_size == 4
    (tmp_path / "weights").unlink()
    assert "weights" in message(ValueError, from_onnx, tmp_path / "m.onnx")


def test_inputs_that_are_wrong(tmp_path):
    model = from_onnx(save(tmp_path / "m.onnx"))
    x = np.zeros((5, 2, 3), np.float32)
    assert "inputs must be X, got Z" in message(ValueError, model, Z=x)
    assert "takes 1 inputs, got 2" in message(ValueError, model, x, x)
    assert "X must be float32, got float64" in message(TypeError, model, x.astype(float))
    assert "X must have shape (T, N, 3), got (5, 2, 4)" in message(
        ValueError, model, np.zeros((5, 2, 4), np.float32)
    )


def test_other_inputs_that_are_wrong(tmp_path):
    path = tmp_path / "m.onnx"
    to_onnx(fastrnn.LSTM(3, 4, rng=0), path, lengths=True, state=True)
    model = from_onnx(path)
    x, h = np.zeros((2, 5, 3), np.float32), np.zeros((1, 2, 4), np.float32)
    assert "sequence_lens must be in 0..5, got 6" in message(ValueError, model, x, [6, 1], h, h)
    assert "initial_c must have shape (1, 2, 4), got (1, 3, 4)" in message(
        ValueError, model, x, [5, 1], h, np.zeros((1, 3, 4), np.float32)
    )
    to_onnx(fastrnn.Embedding(7, 3, rng=0), path)
    assert "index 7 is out of bounds" in message(ValueError, from_onnx(path), [[7]])


def test_lengths_that_do_not_fit(tmp_path):
    path = save(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("lengths", INT32, ["N"]))
    model.graph.node[0].input.append("lengths")
    onnx.save(model, path)
    x = np.zeros((5, 2, 3), np.float32)
    assert "sequence_lens must be in 0..5, got 6" in message(ValueError, from_onnx(path), x, [5, 6])
    assert "lengths must fit in int32, got 4294967299" in message(
        ValueError, from_onnx(path), x, [5, 2**32 + 3]
    )


def test_options_that_no_layer_has(tmp_path):
    model = from_onnx(save(tmp_path / "m.onnx", direction="reverse"))
    assert "no layer of fastrnn has direction reverse" in message(ValueError, lambda: model.layer)
    names = ["Elu", "Softsign"]
    shapes = {"W": (2, 4, 3), "R": (2, 4, 4), "B": (2, 8)}
    options = {"direction": "bidirectional", "activations": names}
    model = from_onnx(save(tmp_path / "m.onnx", op="RNN", **shapes, **options))
    assert "no layer of fastrnn has activations that differ by direction" in message(
        ValueError, lambda: model.layer
    )


def test_models_that_cannot_be_written(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")
    gru, linear = fastrnn.GRU(3, 4, rng=0), fastrnn.Linear(5, 2, rng=0)
    double, embedding = fastrnn.Linear(4, 2, dtype=float, rng=0), fastrnn.Embedding(5, 2, rng=0)
    attention = fastrnn.models.Seq2Seq(5, 5, 4, 4, rng=0)
    for wrong in attention, fastrnn.Dropout(0.5), [], [gru, "linear"], None:
        text = message(TypeError, to_onnx, wrong, path)
        assert text.startswith("to_onnx: model must be a recurrent layer, Linear, Embedding, a ")
    own = type("Own", (fastrnn.GRU,), {"forward": lambda self, x: x})(3, 4)
    assert message(TypeError, to_onnx, own, path).startswith(
        "to_onnx: the layer must be a plain GRU, got a subclass with its own forward"
    )
    language = fastrnn.models.LanguageModel
    for own in (
        type("Own", (language,), {"_run": lambda self, *args: args})(5, 3, 4),
        type("Own", (language,), {"sample": lambda self, *args: args})(5, 3, 4),
    ):
        assert message(TypeError, to_onnx, own, path).startswith(
            "to_onnx: the model must be a plain LanguageModel, got a subclass with its own "
        )
    own = type("Own", (fastrnn.PeepholeLSTM,), {"cell": fastrnn.SLSTM.cell})(3, 4)
    assert message(TypeError, to_onnx, own, path) == (
        "to_onnx: the layer must be a plain PeepholeLSTM, got a subclass with its own cell"
    )
    assert message(ValueError, to_onnx, [gru, linear], path) == (
        "to_onnx: layer 1 (Linear) takes 5 features, the one before gives 4"
    )
    assert message(TypeError, to_onnx, [gru, double], path) == (
        "to_onnx: layer 1 (Linear) is float64, the one before float32"
    )
    assert message(ValueError, to_onnx, [gru, embedding], path) == (
        "to_onnx: layer 1 (Embedding) takes ids, so it must be the first"
    )
    for option in "lengths", "state":
        assert message(ValueError, to_onnx, linear, path, **{option: True}) == (
            f"to_onnx: {option} needs a recurrent layer, the model has none"
        )
    gru.params["b_l0"] = np.zeros(3, np.float32)
    assert "b_l0 must have shape (12,), got (3,)" in message(ValueError, to_onnx, gru, path)
    assert path.read_bytes() == b"before"


def test_without_the_package(tmp_path):
    code = f"""
import sys
sys.modules["onnx"] = None
import fastrnn, fastrnn.convert as convert
for action in (
    lambda: convert.from_onnx({str(tmp_path / "m.onnx")!r}),
    lambda: convert.to_onnx(fastrnn.GRU(3, 4), {str(tmp_path / "m.onnx")!r}),
    lambda: convert.onnx_backend,
):
    try:
        action()
    except ImportError as error:
        print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = "fastrnn.convert needs the package onnx: pip install 'fastrnn[interop]'"
    assert out.stdout.splitlines() == [line] * 3


@pytest.mark.parametrize("text", [b"LSTM", b"W", b"X", b"Y_h", b"graph", b"com.microsoft"])
def test_a_text_that_is_not_utf8(text, tmp_path):
    """The reader of protobuf gives such a text as bytes."""
    path = save(tmp_path / "model.onnx")
    data = path.read_bytes()
    tagged = bytes([len(text)]) + text
    assert tagged in data
    path.write_bytes(data.replace(tagged, tagged[:-1] + b"\xff"))
    said = r"onnx\.\w+\.\w+ must be a text in UTF-8, got b'"
    with pytest.raises(ValueError, match=rf"model\.onnx: {said}"):
        from_onnx(path)
    with pytest.raises(ValueError, match=said):
        onnx_backend.prepare(onnx.load(path, load_external_data=False))
