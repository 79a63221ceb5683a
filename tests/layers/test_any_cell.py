"""The layer of any cell: built in or defined, projected, with masks, in files."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from support.copies import COPIES
from support.numeric import assert_close, numeric_gradient
from support.problems import like, parts

import fastrnn
import fastrnn.reference
from fastrnn import _storage, cell


@cell.define(gates="i n", states="h c", weights="p", open_gates="i", initial={"p": 0.5})
def own(a, s, w):
    """A projection, a product within the step, a mask, and a weight for each unit."""
    c = s.c + cell.keep(cell.sigmoid(a.i) * cell.tanh(a.x.n) - w.p * s.c, 0.8)
    return {"h": cell.project(cell.matmul(c, "U") + cell.tanh(c), "Wp"), "c": c}


def build(num_layers=1, **options):
    return fastrnn.Recurrent(own, 3, 5, num_layers, **{"proj_size": 2, "rng": 0, **options})


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_built_in_cell_by_name(name, backend):
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    options = {"num_layers": 2, "bidirectional": True, "rng": 1}
    ours = fastrnn.Recurrent(name, 5, 6, **options)
    theirs = fastrnn.layers.RECURRENT[name](5, 6, **options)
    np.testing.assert_array_equal(ours(x)[0], theirs(x)[0])
    assert ours.config()["cell"] == name


@pytest.mark.parametrize("name", [*fastrnn.layers.library.__all__, "LSTMP", "ZoneoutLSTM"])
def test_a_cell_of_the_library_by_name(name):
    options = {"proj_size": 3} if name == "LSTMP" else {}
    theirs = getattr(fastrnn, name)(5, 6, rng=1, **options)
    ours = fastrnn.Recurrent(theirs.cell.name, 5, 6, rng=1, **options)
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(ours(x)[0], theirs(x)[0])
    assert ours.config()["cell"]["nodes"]  # a file does not depend on the library


def test_what_it_draws():
    layer = build(2, bidirectional=True)
    shapes = {key: param.shape for key, param in layer.params.items()}
    first = {"Wx": (3, 10), "Wh": (2, 5), "b": (10,), "p": (5,), "U": (5, 5), "Wp": (5, 2)}
    second = {**first, "Wx": (4, 10)}
    wanted = {}
    for level, expected in enumerate((first, second)):
        for suffix in ("", "_reverse"):
            wanted |= {f"{key}_l{level}{suffix}": shape for key, shape in expected.items()}
    assert shapes == wanted
    assert layer.params["p_l1_reverse"].tolist() == [0.5] * 5
    assert layer.params["b_l0"].tolist() == [1.0] * 5 + [0.0] * 5
    assert (layer.output_size, layer.proj_size, layer.hidden_size) == (2, 2, 5)
    h, c = layer.init_state(7)
    assert (h.shape, c.shape) == ((4, 7, 2), (4, 7, 5))


def test_gradients_by_finite_differences():
    rng = np.random.default_rng(3)
    options = {"recurrent_dropout": 0.3, "dropout": 0.2, "residual": True}
    layer = build(3, bidirectional=True, dtype="float64", **options)
    x = rng.standard_normal((3, 4, 3))
    state = like(layer.init_state(3), rng)
    lengths = [4, 0, 2]

    def run():
        layer.rng = np.random.default_rng(5)  # the same masks and dropout
        return layer(x, state, lengths=lengths)

    y, final = run()
    dy, dfinal = rng.standard_normal(y.shape), like(final, rng)
    dx, dstate = layer.backward(dy, dfinal)
    grads = {key: grad.copy() for key, grad in layer.grads.items()}

    def objective():
        y, final = run()
        pairs = zip((dy, *parts(dfinal)), (y, *parts(final)), strict=True)
        return sum(float(np.sum(d * value)) for d, value in pairs)

    assert_close(dx, numeric_gradient(objective, x), 1e-7, "x")
    for gradient, array in zip(dstate, state, strict=True):
        assert_close(gradient, numeric_gradient(objective, array), 1e-7, "state")
    for key, param in layer.params.items():
        assert_close(grads[key], numeric_gradient(objective, param), 1e-7, key)


def test_streaming_is_the_whole_sequence():
    layer = build(3, residual=True, dtype="float64").eval()
    x = np.random.default_rng(0).standard_normal((2, 6, 3))
    y, final = layer(x)
    for frozen in (False, True):
        if frozen:
            layer.freeze()
        state, out = layer.init_state(2), None
        for t in range(6):
            y_t, state = layer.step(x[:, t], state, out=out)
            out = (y_t, state)
            assert_close(y_t, y[:, t], 1e-12)
        for array, wanted in zip(state, final, strict=True):
            assert_close(array, wanted, 1e-12)
    with pytest.raises(ValueError, match=r"out h must be a float64 array of shape \(3, 2, 2\)"):
        layer.step(x[:, 0], out=(np.zeros((2, 2)), (np.zeros((3, 2, 5)), np.zeros((3, 2, 5)))))


@pytest.mark.parametrize("how", COPIES)
def test_copies_compute_the_same(how):
    layer = build(2, bidirectional=True)
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    again = COPIES[how](layer)
    for mode in ("train", "eval"):
        y, state = getattr(layer, mode)()(x)
        y_again, state_again = getattr(again, mode)()(x)
        np.testing.assert_array_equal(y_again, y)
        for array, wanted in zip(state_again, state, strict=True):
            np.testing.assert_array_equal(array, wanted)
    assert again.cell.program == own.program
    assert json.loads(json.dumps(again.config())) == layer.config()


def test_masks_are_drawn_in_train_mode_from_the_seed():
    x = np.ones((2, 3, 3), np.float32)
    first, second = build()(x)[0], build()(x)[0]
    np.testing.assert_array_equal(first, second)
    layer = build()
    assert (layer(x)[0] != layer(x)[0]).any()
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0], layer(x)[0])


def test_what_is_refused():
    for wrong in (3, None, own.program, LookupError):
        with pytest.raises(TypeError, match=r"^Recurrent: cell must be a cell that fastrnn\.cell"):
            fastrnn.Recurrent(wrong, 3, 4)
    with pytest.raises(ValueError, match=r"^Recurrent: cell must be one of rnn, lstm, gru, cou"):
        fastrnn.Recurrent("x", 3, 4)
    with pytest.raises(ValueError, match=r"^Recurrent: proj_size must be an integer, as the cell"):
        fastrnn.Recurrent(own, 3, 4)
    with pytest.raises(ValueError, match=r"^Recurrent: proj_size must be None for this cell"):
        fastrnn.Recurrent("lstm", 3, 4, proj_size=3)
    with pytest.raises(ValueError, match=r"^LSTMP: proj_size must be at least 1, got 0"):
        fastrnn.LSTMP(3, 4, proj_size=0)
    with pytest.raises(ValueError, match=r"^IndRNN: recurrent_dropout must be 0 for a cell"):
        fastrnn.IndRNN(3, 4, recurrent_dropout=0.5)
    with pytest.raises(ValueError, match=r"^ZoneoutLSTM: zoneout_c must be in \[0, 1\], got 2"):
        fastrnn.ZoneoutLSTM(3, 4, zoneout_c=2)
    layer = build()
    x = np.ones((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match=r"^Recurrent: h must have shape \(1, 2, 2\)"):
        layer(x, (np.zeros((1, 2, 5), np.float32), None))
    with pytest.raises(ValueError, match=r"^Recurrent: dstate must be \(dh, dc\), got ndarray"):
        layer(x)
        layer.backward(dstate=np.zeros(3))
    layer.params["p_l0"] = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match=r"^Recurrent: p_l0 must have shape \(5,\), got \(4,\)"):
        layer(x)


def test_dropout_of_one_layer_warns_in_the_line_of_the_caller():
    with pytest.warns(UserWarning, match="has no effect") as got:
        build(dropout=0.5)
        fastrnn.ZoneoutLSTM(3, 4, dropout=0.5)
        fastrnn.PeepholeLSTM(3, 4, dropout=0.5)
    assert [warning.filename for warning in got] == [__file__] * 3


@pytest.mark.parametrize("name", [*fastrnn.layers.library.__all__, "LSTMP", "ZoneoutLSTM"])
def test_every_layer_of_the_library_trains(name):
    options = {"proj_size": 4} if name == "LSTMP" else {}
    layer = getattr(fastrnn, name)(2, 8, 2, rng=0, **options)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((16, 6, 2)).astype(np.float32)
    wanted = np.cumsum(x[..., :1], axis=1) / 3
    optimizer, losses = fastrnn.training.Adam(0.02), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            y, _ = layer(x)
            error = y.mean(axis=2, keepdims=True) - wanted
            losses.append(float(np.mean(error**2)))
            layer.backward(np.broadcast_to(2 * error / error.size / y.shape[2], y.shape))
            optimizer.update(layer.params, layer.grads)
    assert np.mean(losses[-5:]) < losses[0] / 1.5
    assert getattr(fastrnn.reference, name)._backend == "reference"


def test_a_file_with_a_damaged_program_is_refused(tmp_path):
    path = tmp_path / "layer.safetensors"
    layer = build()
    for change, text in (
        ({"nodes": 3}, "nodes must be a list, got int"),
        ({"outputs": [0, 99]}, "outputs must be numbers of earlier nodes, got 99"),
        ({"vectors": ["q"], "initial": {}}, "node"),
    ):
        config = {**layer.config(), "cell": {**layer.config()["cell"], **change}}
        metadata = {"kind": "model", "class": "Recurrent", "config": json.dumps(config)}
        _storage.write(path, layer.params, metadata | {"extra": "{}"})
        with pytest.raises(ValueError) as caught:
            fastrnn.load(path)
        assert f"the metadata does not describe a Recurrent: cell.from_dict: {text}" in str(
            caught.value
        )
