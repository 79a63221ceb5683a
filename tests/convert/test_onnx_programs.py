"""Layers of cells that are programs to ONNX files and back: the options of ONNX's operators."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastrnn as fr
from fastrnn import cell
from fastrnn.cell import library

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime
from onnx import helper, numpy_helper

from fastrnn.convert import from_onnx, to_onnx
from fastrnn.convert._onnx.activations import DEFINITIONS
from fastrnn.convert.keras_activations import FUNCTIONS
from fastrnn.convert.variants import Activation, Variant

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
COUNTS = {"RNN": 1, "GRU": 2, "LSTM": 3}  # of activations
LIMIT = 1229 / 1024
LARGEST = 20  # results from which ONNX Runtime's Softplus may overflow: from 89 on
# Those that a program simplifies, and defaults, which are not float32.
SPECIAL = [0.0, 1.0, -1.0, 0.5, -0.5, *map(float, np.float32([0.2, 0.01]))]
REFUSED = "to_onnx: ONNX's RNN, LSTM, GRU cannot compute the cell {}"


@st.composite
def nodes(draw):
    """An operator and its attributes for one direction; whether it has peepholes."""
    op = draw(st.sampled_from(sorted(GATES)))
    attributes = {}
    if draw(st.booleans()):
        names = [draw(st.sampled_from(sorted(DEFINITIONS))) for _ in range(COUNTS[op])]
        numbers = st.sampled_from(SPECIAL) | st.floats(-1, 1, width=32)
        attributes["activations"] = names
        for key in ("alpha", "beta"):
            defaults = [DEFINITIONS[name][1][key] for name in names if key in DEFINITIONS[name][1]]
            # ONNX Runtime's default of ThresholdedRelu is not that of ONNX.
            needed = None in defaults or "ThresholdedRelu" in names
            if defaults and (needed or draw(st.booleans())):
                attributes[f"activation_{key}"] = [draw(numbers) for _ in defaults]
    if draw(st.booleans()):
        # At x = alpha ONNX Runtime's ThresholdedRelu is 0, ONNX's alpha.
        equal = [] if "ThresholdedRelu" in attributes.get("activations", ()) else [0.5, 1.0]
        attributes["clip"] = draw(st.sampled_from([LIMIT, *equal]))
    if op == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if op == "LSTM":
        attributes["input_forget"] = draw(st.integers(0, 1))
    return op, attributes, op == "LSTM" and draw(st.booleans())


def layer_of(op, attributes, peepholes, *, directions=1, dtype="float32", seed=0):
    """The layer of a file with one operator, D 3 and H 4."""
    rng, attributes = np.random.default_rng(seed), dict(attributes)
    for key in attributes.keys() & {"activations", "activation_alpha", "activation_beta"}:
        attributes[key] = attributes[key] * directions
    G = GATES[op]
    shapes = {"W": (G * 4, 3), "R": (G * 4, 4), "B": (2 * G * 4,), "P": (12,)}
    names = ["x", "W", "R", "B", *(["", "", "", "P"] if peepholes else [])]
    arrays = [
        numpy_helper.from_array(rng.normal(scale=0.5, size=(directions, *shape)).astype(dtype), key)
        for key, shape in shapes.items()
        if key in names
    ]
    direction = "bidirectional" if directions == 2 else "forward"
    node = helper.make_node(op, names, ["y"], hidden_size=4, direction=direction, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    x, y = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, shape in {"x": ["T", "N", 3], "y": [None] * 4}.items()
    )
    model = helper.make_model(
        helper.make_graph([node], "node", [x], [y], arrays),
        opset_imports=[helper.make_opsetid("", 14)],
        ir_version=8,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "node.onnx")
        onnx.save(model, path)
        return from_onnx(path).layer.eval()


def there_and_back(layer, feeds, *, runtime=True):
    """Write a layer, compare the file's results, and return the layer that comes back."""
    state = tuple(feeds[name] for name in ("h0", "c0") if name in feeds)
    y, last = layer(
        feeds["x"], state[0] if len(state) == 1 else state or None, lengths=feeds.get("lengths")
    )
    wanted = [y, *(last if isinstance(last, tuple) else [last])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        to_onnx(layer, path, lengths="lengths" in feeds, state="h0" in feeds)
        onnx.checker.check_model(onnx.load(path), full_check=True)
        model = from_onnx(path)
        largest = max(np.abs(part).max(initial=0) for part in wanted)
        if runtime and largest < LARGEST:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
            close(session.run(None, feeds), wanted)
        close(model(**feeds), wanted)
        return model.layer.eval()


def close(came, wanted):
    """Compare; functions without bound may grow, the error is then relative to the largest."""
    for theirs, ours in zip(came, wanted, strict=True):
        atol = 1e-5 * max(1.0, np.abs(ours).max(initial=0))
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=atol)


def same_layer(came, layer):
    if came.cell.program is None and layer.cell.program is not None:
        # A program that computes a built-in cell, as ScaledTanh(1, 1) does.
        x = inputs(layer)["x"]
        close([came(x)[0]], [layer(x)[0]])
        return
    config, wanted = came.config(), layer.config()
    config["cell"], wanted["cell"] = computed(came.cell), computed(layer.cell)
    assert type(came) is type(layer) and config == wanted
    assert came.params.keys() == layer.params.keys()
    for key, param in layer.params.items():
        np.testing.assert_array_equal(came.params[key], param)
    x = inputs(layer)["x"]
    np.testing.assert_array_equal(came(x)[0], layer(x)[0])


def computed(kind):
    """Return what tells the new states of a program, whatever the order of its operations."""
    if kind.program is None:
        return kind.name
    values = []
    for node in kind.program.nodes:
        args = [values[arg] for arg in node.args]
        args = sorted(args) if node.op in ("add", "mul") else args
        values.append(hash((node.op, node.name, node.number, *args)))
    return [kind.weights, *(values[output] for output in kind.program.outputs)]


def inputs(layer, seed=1, *, lengths=False, state=False):
    rng, N = np.random.default_rng(seed), 3
    feeds = {"x": rng.normal(scale=0.5, size=(N, 3, layer.input_size)).astype(layer.dtype)}
    if lengths:
        feeds["lengths"] = np.array([3, 1, 2])
    if state:
        shape = (layer.num_layers * layer.directions, N, layer.hidden_size)
        for name in layer.cell.states:
            feeds[f"{name}0"] = rng.normal(scale=0.5, size=shape).astype(layer.dtype)
    return feeds


@given(node=nodes(), directions=st.integers(1, 2), seed=st.integers(0, 99), data=st.data())
@settings(deadline=None, max_examples=200)
def test_every_option_comes_back(node, directions, seed, data):
    op, attributes, peepholes = node
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    layer = layer_of(op, attributes, peepholes, directions=directions, dtype=dtype, seed=seed)
    lengths, state = data.draw(st.booleans()), data.draw(st.booleans())
    # ONNX Runtime has no kernels in float64, and does not clip the input of the third, h.
    runtime = dtype == "float32" and not (op == "LSTM" and "clip" in attributes)
    feeds = inputs(layer, seed, lengths=lengths, state=state)
    same_layer(there_and_back(layer, feeds, runtime=runtime), layer)


def test_defaults_at_the_end_come_back():
    names = ["LeakyRelu", "HardSigmoid", "Elu"]  # whose defaults are 0.01, 0.2 and 0.5, 1
    options = {"activations": names, "activation_alpha": [0.5]}
    layer = layer_of("LSTM", options, False)
    same_layer(there_and_back(layer, inputs(layer)), layer)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("residual", [False, True])
def test_stacks_with_lengths_and_states(directions, residual):
    options = {"activations": ["HardSigmoid", "Tanh", "HardSigmoid"], "clip": 1.0}
    options |= {"activation_alpha": [0.25, 0.5], "activation_beta": [0.5, 0.5], "input_forget": 1}
    kind = layer_of("LSTM", options, True).cell  # whose last activation does not see the clip
    for cells in kind, layer_of("GRU", {"clip": 0.5}, False).cell:
        options = {"bidirectional": directions == 2, "residual": residual}
        layer = fr.Recurrent(cells, 5, 6, 3, **options, rng=2).eval()
        rng = np.random.default_rng(3)
        for param in layer.params.values():
            param[...] = rng.normal(scale=0.5, size=param.shape)
        feeds = inputs(layer, lengths=True, state=True)
        same_layer(there_and_back(layer, feeds), layer)


def test_a_list_and_a_language_model(tmp_path):
    kind = layer_of("GRU", {"activations": ["HardSigmoid", "Softsign"]}, False).cell
    layers = [fr.Recurrent(kind, 3, 5, rng=1), fr.PeepholeLSTM(5, 4, rng=2), fr.Linear(4, 2)]
    to_onnx(layers, tmp_path / "list.onnx")
    *came, linear = from_onnx(tmp_path / "list.onnx").layers
    for ours, theirs in zip(came, layers[:2], strict=True):
        same_layer(ours, theirs)
    np.testing.assert_array_equal(linear.params["W"], layers[2].params["W"])
    model = fr.models.LanguageModel(7, 4, 5, cell=kind, num_layers=2, rng=0).eval()
    to_onnx(model, tmp_path / "model.onnx")
    same_layer(from_onnx(tmp_path / "model.onnx").layers[1], model.rnn)


UNKNOWN = {"exponential", "hard_shrink", "hard_silu", "hard_swish", "log_sigmoid", "mish", "relu6"}
UNKNOWN |= {"selu", "silu", "soft_shrink", "squareplus", "swish", "tanh_shrink"}


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("activation", sorted(FUNCTIONS))
def test_activations_of_keras(tmp_path, name, activation):
    activations = (Activation(cell.sigmoid), *[Activation(FUNCTIONS[activation])] * 2)
    count = COUNTS[name.upper()]
    activations = activations[:count] if count > 1 else activations[1:2]
    layer = fr.Recurrent(Variant(name, activations).cell, 3, 4, rng=0).eval()
    if activation in UNKNOWN or (activation == "hard_tanh" and count > 1):
        with pytest.raises(TypeError) as raised:
            to_onnx(layer, tmp_path / "m.onnx")
        assert str(raised.value) == REFUSED.format(f"{name}_variant")
        return
    feeds = inputs(layer)  # where float64 numbers of a program are float32 as in the file
    came = there_and_back(layer, feeds)
    if came.cell.program is not None:
        np.testing.assert_array_equal(came(feeds["x"])[0], layer(feeds["x"])[0])


@cell.define(gates="o g f i", states="h c", weights="p_o p_i p_f")
def my_peepholes(a, s, w):
    i, f = cell.sigmoid(w.p_i * s.c + a.i), cell.sigmoid(a.f + s.c * w.p_f)
    c = cell.tanh(a.g) * i + f * s.c
    return {"h": cell.tanh(c) * cell.sigmoid(a.o + w.p_o * c), "c": c}


@cell.define(gates="z r n", weights="bh")
def my_gru(a, s, w):
    z = cell.sigmoid(a.z)
    n = cell.tanh((a.h.n + w.bh) * cell.sigmoid(a.r) + a.x.n)
    return {"h": s.h * z + n * (1 - z)}


@cell.define(gates="i f g o", states="h c")
def my_lstm(a, s, w):
    c = cell.sigmoid(a.f) * s.c + cell.sigmoid(a.i) * cell.tanh(a.g)
    return {"h": cell.sigmoid(a.o) * cell.tanh(c), "c": c}


@cell.define(gates="n")
def my_rnn(a, s, w):
    return {"h": cell.tanh(a.n)}


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (my_peepholes, fr.PeepholeLSTM),
        (my_gru, fr.GRU),
        (my_lstm, fr.LSTM),
        (my_rnn, fr.RNN),
        (cell.from_dict(cell.to_dict(library.named("coupled_lstm"))), fr.CoupledLSTM),
        ("coupled_lstm", fr.CoupledLSTM),
        ("lstm", fr.LSTM),
        ("gru", fr.GRU),
        ("rnn", fr.RNN),
    ],
)
def test_what_a_cell_computes_counts_not_its_name(kind, wanted):
    layer = fr.Recurrent(kind, 3, 4, 2, bidirectional=True, rng=0).eval()
    rng = np.random.default_rng(1)
    for param in layer.params.values():
        param[...] = rng.normal(scale=0.5, size=param.shape)
    came = there_and_back(layer, inputs(layer, lengths=True, state=True))
    assert type(came) is wanted


def test_a_layer_from_a_file_and_a_copy():
    layer = layer_of("RNN", {"activations": ["Elu"], "activation_alpha": [0.3]}, False)
    with tempfile.TemporaryDirectory() as folder:
        fr.save(layer, Path(folder, "layer"))
        again = fr.load(Path(folder, "layer")).eval()
    same_layer(there_and_back(again, inputs(again)), layer)


def renamed(kind, name):
    return cell.from_dict(cell.to_dict(kind) | {"name": name, "title": name})


def near(f, weights="p_i p_f p_o"):
    """An LSTM that is not quite ONNX's."""

    @cell.define(gates="i f g o", states="h c", weights=weights, title="Near")
    def lstm_variant(a, s, w):
        return f(a, s, w, cell.sigmoid(a.i), cell.sigmoid(a.f), cell.tanh(a.g))

    return lstm_variant


def _two_forget_gates(a, s, w, i, f, g):
    c = cell.hard_sigmoid(a.f) * s.c + i * g
    return {"h": cell.sigmoid(a.o) * cell.tanh(c), "c": c}


def _output_gate_sees_the_old_c(a, s, w, i, f, g):
    c = cell.sigmoid(a.f + w.p_f * s.c) * s.c + cell.sigmoid(a.i + w.p_i * s.c) * g
    return {"h": cell.sigmoid(a.o + w.p_o * s.c) * cell.tanh(c), "c": c}


def _many_numbers(a, s, w, i, f, g):
    for number in range(60):
        g = number * g + number / 7
    return {"h": cell.sigmoid(a.o) * g, "c": f * s.c + i * g}


def _number_beyond_float32(a, s, w, i, f, g):
    c = f * s.c + i * (1e300 * a.g + 1.0)
    return {"h": cell.sigmoid(a.o) * cell.tanh(c), "c": c}


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (fr.LSTMP(3, 4, proj_size=2), "LSTMP"),
        (fr.LayerNormLSTM(3, 4), "LayerNormLSTM"),
        (fr.LayerNormGRU(3, 4), "LayerNormGRU"),
        (fr.IndRNN(3, 4), "IndRNN"),
        (fr.MinimalGRU(3, 4), "MinimalGRU"),
        (fr.SLSTM(3, 4), "SLSTM"),
        (fr.ZoneoutLSTM(3, 4), "ZoneoutLSTM"),
        (fr.ZoneoutLSTM(3, 4, zoneout_h=0.0, zoneout_c=0.0), "ZoneoutLSTM"),
        (fr.Recurrent("slstm", 3, 4), "SLSTM"),
        (fr.Recurrent(renamed(fr.SLSTM.cell, "peephole_lstm"), 3, 4), "peephole_lstm"),
        (fr.Recurrent(near(_two_forget_gates, ""), 3, 4), "Near"),
        (fr.Recurrent(near(_output_gate_sees_the_old_c), 3, 4), "Near"),
        (fr.Recurrent(near(_many_numbers, ""), 3, 4), "Near"),
        (fr.Recurrent(near(_number_beyond_float32, ""), 3, 4), "Near"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_operator_computes_is_refused_by_name(tmp_path, layer, name):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")
    for model in layer, [fr.Linear(2, 3, rng=0), layer]:
        with pytest.raises(TypeError) as raised:
            to_onnx(model, path)
        assert str(raised.value) == REFUSED.format(name)
    assert path.read_bytes() == b"before"
