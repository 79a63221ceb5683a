"""Layers to ONNX files and back: checker, ONNX Runtime, reference evaluator, round trips."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn
from fastrnn.models import LanguageModel

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from fastrnn.convert import from_onnx, to_onnx

LSTMS = (fastrnn.LSTM, fastrnn.PeepholeLSTM, fastrnn.CoupledLSTM)
CELLS = [
    (fastrnn.PeepholeLSTM, {}),
    (fastrnn.CoupledLSTM, {}),
    (fastrnn.RNN, {}),
    (fastrnn.RNN, {"nonlinearity": "relu"}),
    (fastrnn.LSTM, {}),
    (fastrnn.GRU, {}),
    (fastrnn.GRU, {"reset_after": False}),
]
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def randomize(layer, rng):
    """Give every parameter, biases too, random values; return the layer in eval mode."""
    for param in layer.params.values():
        param[...] = rng.normal(scale=0.5, size=param.shape)
    return layer.eval()


def write(folder, model, **options):
    """Write a file that the checker passes; return its path."""
    path = Path(folder, "model.onnx")
    to_onnx(model, path, **options)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    return path


def onnx_runtime(path, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]).run(None, feeds)


def close(came, wanted, dtype):
    for a, b in zip(came, wanted, strict=True):
        assert a.dtype == b.dtype == dtype
        atol = TOLERANCE[dtype] * np.abs(b).max(initial=1)  # relu has no bound
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def equal(came, wanted):
    for a, b in zip(came, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def same_layer(came, layer):
    assert type(came) is type(layer) and came.config() == layer.config()
    assert came.params.keys() == layer.params.keys()
    for key, param in layer.params.items():
        np.testing.assert_array_equal(came.params[key], param)


@st.composite
def problems(draw):
    """A recurrent layer, the options of its file, and what feeds it."""
    cls, options = draw(st.sampled_from(CELLS))
    D, H, layers, N, T = (draw(st.integers(1, high)) for high in (5, 7, 4, 4, 5))
    residual = layers > 2 and draw(st.booleans())
    dtype, bidirectional = draw(st.sampled_from(sorted(TOLERANCE))), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    options = {**options, "bidirectional": bidirectional, "residual": residual}
    layer = cls(D, H, layers, dtype=dtype, rng=rng, **options)
    feeds = {"x": rng.normal(size=(N, T, D)).astype(dtype)}
    lengths, state = draw(st.booleans()), draw(st.booleans())
    if lengths:
        feeds["lengths"] = rng.integers(1, T, N, endpoint=True)
    if state:
        shape = (layers * (1 + bidirectional), N, H)
        names = ["h0", "c0"] if cls in LSTMS else ["h0"]
        feeds |= {name: rng.normal(size=shape).astype(dtype) for name in names}
    return randomize(layer, rng), {"lengths": lengths, "state": state}, feeds


def run(layer, feeds):
    """Return y and the arrays of the final state."""
    state = tuple(feeds[name] for name in ("h0", "c0") if name in feeds)
    y, last = layer(
        feeds["x"],
        state[0] if len(state) == 1 else state or None,
        lengths=feeds.get("lengths"),
    )
    return [y, *(last if isinstance(last, tuple) else [last])]


@given(problem=problems())
@settings(deadline=None, max_examples=150)
def test_recurrent_layers_run_elsewhere_and_come_back(problem):
    layer, options, feeds = problem
    wanted, dtype = run(layer, feeds), layer.dtype.name
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, layer, **options)
        model = from_onnx(path)
        if dtype == "float32":
            close(onnx_runtime(path, feeds), wanted, dtype)
        elif not (options["lengths"] or layer.options.get("nonlinearity") == "relu") and not (
            isinstance(layer, fastrnn.CoupledLSTM)
        ):
            # ONNX Runtime has no kernels in float64; the evaluator no lengths, relu, input_forget
            close(ReferenceEvaluator(onnx.load(path)).run(None, feeds), wanted, dtype)
    assert model.inputs == tuple(feeds)
    assert model.outputs == (("y", "h", "c") if isinstance(layer, LSTMS) else ("y", "h"))
    equal(model(**feeds), wanted)
    same_layer(model.layer, layer)
    equal(run(model.layer.eval(), feeds), wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(tmp_path, dtype, bias):
    rng = np.random.default_rng(1)
    layer = randomize(fastrnn.Linear(4, 6, bias=bias, dtype=dtype, rng=0), rng)
    x = rng.normal(size=(3, 5, 4)).astype(dtype)
    path = write(tmp_path, layer)
    close(onnx_runtime(path, {"x": x}), [layer(x)], dtype)
    close(from_onnx(path)(x), [layer(x)], dtype)
    same_layer(from_onnx(path).layer, layer)


def test_embedding(tmp_path, dtype):
    rng = np.random.default_rng(2)
    layer = fastrnn.Embedding(7, 4, dtype=dtype, rng=0).eval()
    ids = rng.integers(0, 7, (3, 5))
    path = write(tmp_path, layer)
    equal(onnx_runtime(path, {"ids": ids}), [layer(ids)])
    equal(from_onnx(path)(ids), [layer(ids)])
    same_layer(from_onnx(path).layer, layer)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_gives_logits(tmp_path, cell, tied):
    rng = np.random.default_rng(3)
    model = LanguageModel(
        11, 6, 6, cell=cell, num_layers=2, dropout=0.5, tie_weights=tied, rng=0
    ).eval()
    for param in model.params.values():
        param[...] = rng.normal(scale=0.5, size=param.shape)
    ids = rng.integers(0, 11, (3, 5))
    path = write(tmp_path, model)
    y, state = model.rnn(model.embedding(ids))
    W = model.embedding.params["W"].T if tied else model.output.params["W"]
    wanted = [y @ W + model.output.params["b"]]
    wanted += state if isinstance(state, tuple) else [state]
    close(onnx_runtime(path, {"ids": ids}), wanted, "float32")
    close(from_onnx(path)(ids), wanted, "float32")
    embedding, rnn, output = from_onnx(path).layers
    assert rnn.num_layers == 2 and rnn.dropout == 0  # which does not run in inference
    same_layer(embedding, model.embedding)
    np.testing.assert_array_equal(output.params["W"], W)
    with pytest.raises(ValueError, match="has several layers"):
        from_onnx(path).layer  # noqa: B018


def test_a_list_of_layers(tmp_path, dtype):
    rng = np.random.default_rng(4)
    layers = [
        fastrnn.Linear(3, 4, dtype=dtype, rng=rng),
        fastrnn.LSTM(4, 5, bidirectional=True, dtype=dtype, rng=rng),
        fastrnn.GRU(10, 6, 2, dtype=dtype, rng=rng),
        fastrnn.Linear(6, 2, bias=False, dtype=dtype, rng=rng),
    ]
    for layer in layers:
        randomize(layer, rng)
    path = write(tmp_path, layers, lengths=True, state=True)
    model = from_onnx(path)
    assert model.inputs == ("x", "lengths", "h0_1", "c0_1", "h0_2")
    assert model.outputs == ("y", "h_1", "c_1", "h_2")
    shapes = [(4, 6, 3), (4,), (2, 4, 5), (2, 4, 5), (2, 4, 6)]
    x, _, h1, c1, h2 = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    lengths = np.array([6, 2, 1, 4])
    y, last = layers[1](layers[0](x), (h1, c1), lengths=lengths)
    y, h = layers[2](y, h2, lengths=lengths)
    wanted = [layers[3](y), *last, h]
    close(model(x, lengths, h1, c1, h2), wanted, dtype)
    if dtype == "float32":
        feeds = dict(zip(model.inputs, (x, lengths, h1, c1, h2), strict=True))
        close(onnx_runtime(path, feeds), wanted, dtype)
    for came, layer in zip(model.layers, layers, strict=True):
        same_layer(came, layer)


SINGLE = {
    "RNN": {"activations": ["Elu"], "activation_alpha": [0.5]},
    "GRU before": {"activations": ["HardSigmoid", "Softsign"]},
    "GRU after": {"clip": 0.5, "linear_before_reset": 1},
    "LSTM": {"clip": 0.5, "input_forget": 1},
    "LSTM peepholes": {"activations": ["Sigmoid", "Tanh", "ScaledTanh"]}
    | {"activation_alpha": [0.5], "activation_beta": [2.0]},
}


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("directions", [1, 2])
def test_a_node_with_other_options_is_a_layer_to_train(tmp_path, name, directions, dtype):
    op, attributes = name.partition(" ")[0], dict(SINGLE[name])
    rng, G = np.random.default_rng(8), {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    names = attributes.pop("activations", None)
    if names:
        attributes["activations"] = names * directions
        for key in attributes.keys() & {"activation_alpha", "activation_beta"}:
            attributes[key] = attributes[key] * directions
    shapes = {"W": (G * 5, 3), "R": (G * 5, 5), "B": (2 * G * 5,), "P": (15,)}
    arrays = {k: rng.normal(size=(directions, *s)).astype(dtype) for k, s in shapes.items()}
    given = ["x", "W", "R", "B"] + (["", "", "", "P"] if "peepholes" in name else [])
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(op, given, ["y"], hidden_size=5, direction=direction, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        "node",
        [helper.make_tensor_value_info("x", kind, ["T", "N", 3])],
        [helper.make_tensor_value_info("y", kind, [None] * 4)],
        [numpy_helper.from_array(array, key) for key, array in arrays.items() if key in given],
    )
    path = tmp_path / "node.onnx"
    opset = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    model = from_onnx(path)
    x = rng.normal(size=(4, 2, 3)).astype(dtype)
    (y,) = model(x)
    layer = model.layer
    assert type(layer) is fastrnn.Recurrent and layer.dtype == dtype
    came, _ = layer(x.swapaxes(0, 1))
    np.testing.assert_array_equal(came, y.transpose(2, 0, 1, 3).reshape(came.shape))
    with fastrnn.backend("reference"):
        close(model(x), [y], dtype)
    dx, _ = layer.backward(came)
    assert dx.any() and all(grad.any() for grad in layer.grads.values())
    fastrnn.save(layer, tmp_path / "layer.safetensors")
    equal(fastrnn.load(tmp_path / "layer.safetensors")(x.swapaxes(0, 1))[:1], [came])


def test_two_layers_are_not_one_stack(tmp_path):
    layers = [fastrnn.GRU(3, 3, rng=0), fastrnn.GRU(3, 3, rng=1)]
    for came, layer in zip(from_onnx(write(tmp_path, layers)).layers, layers, strict=True):
        same_layer(came, layer)


def test_empty_batches_and_sequences(tmp_path):
    layer = fastrnn.LSTM(3, 4, 2, bidirectional=True, rng=0).eval()
    model = from_onnx(write(tmp_path, layer))
    for N, T in (0, 3), (2, 0):
        x = np.zeros((N, T, 3), np.float32)
        equal(model(x), run(layer, {"x": x}))


def test_steps_of_a_stream(tmp_path):
    rng = np.random.default_rng(5)
    layer = randomize(fastrnn.GRU(3, 4, 2, rng=0), rng)
    x = rng.normal(size=(1, 6, 3)).astype(np.float32)
    path = write(tmp_path, layer, state=True)
    h = layer.init_state()
    for t in range(6):
        y, h = onnx_runtime(path, {"x": x[:, t : t + 1], "h0": h})
    close([y[:, 0], h], [layer(x)[0][:, -1], layer(x)[1]], "float32")


def test_frozen_and_reference_layers(tmp_path):
    from fastrnn import reference

    for layer in fastrnn.LSTM(3, 4, rng=0).freeze(), reference.LSTM(3, 4, rng=0):
        came = from_onnx(write(tmp_path, layer)).layer
        equal(came.params.values(), layer.params.values())


def test_a_file_that_was_changed_is_no_layer_but_runs(tmp_path):
    path = write(tmp_path, fastrnn.GRU(3, 4, 2, rng=0))
    model = onnx.load(path)
    next(n for n in model.graph.node if n.op_type == "Reshape").output[0] = "0.other"
    next(n for n in model.graph.node if n.input[0] == "0.x_l1").input[0] = "0.other"
    onnx.save(model, path)
    x = np.random.default_rng(6).normal(size=(2, 3, 3)).astype(np.float32)
    assert from_onnx(path)(x)[0].any()
    with pytest.raises(ValueError, match="has no layers of fastrnn, it is neither"):
        from_onnx(path).layer  # noqa: B018


def test_onnx_is_imported_late():
    code = "import sys, fastrnn, fastrnn.convert as c; c.from_onnx, c.to_onnx, c.OnnxModel, dir(c)"
    code += "; assert not {'onnx', 'onnxruntime', 'torch', 'keras'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
