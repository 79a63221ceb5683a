"""Dictionaries and files with PyTorch's names: without PyTorch."""

from __future__ import annotations

import re

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.unchanged import unchanged

import fastrnn as fr
from fastrnn.convert import load_state_dict, state_dict


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_like(arrays, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.standard_normal(a.shape).astype(a.dtype) for key, a in arrays.items()}


def lstm_arrays(D=3, H=4, dtype="float32"):
    return random_like(state_dict(fr.LSTM(D, H, dtype=dtype)))


LAYERS = {
    "rnn": lambda dtype, rng: fr.RNN(3, 4, nonlinearity="relu", dtype=dtype, rng=rng),
    "lstm": lambda dtype, rng: fr.LSTM(3, 4, 2, bidirectional=True, dtype=dtype, rng=rng),
    "gru": lambda dtype, rng: fr.GRU(3, 4, 3, dtype=dtype, rng=rng),
    "embedding": lambda dtype, rng: fr.Embedding(5, 3, dtype=dtype, rng=rng),
    "linear": lambda dtype, rng: fr.Linear(3, 4, dtype=dtype, rng=rng),
    "linear without bias": lambda dtype, rng: fr.Linear(3, 4, bias=False, dtype=dtype, rng=rng),
}


@pytest.fixture(params=LAYERS)
def build(request):
    return LAYERS[request.param]


def randomised(layer):
    """Set all parameters, for biases would be zeros."""
    for key, param in random_like(layer.params, 1).items():
        layer.params[key][...] = param
    return layer


def test_there_and_back_is_the_same(build, dtype):
    layer, other = randomised(build(dtype, 1)), build(dtype, 2)
    load_state_dict(other, state_dict(layer))
    for key, param in layer.params.items():
        np.testing.assert_array_equal(other.params[key], param)


def test_writes_into_the_arrays_that_are_there(build, dtype):
    layer = build(dtype, 1)
    arrays = dict(layer.params)
    load_state_dict(layer, random_like(state_dict(layer)))
    assert all(layer.params[key] is array for key, array in arrays.items())


def test_names_and_shapes():
    shapes = {key: array.shape for key, array in state_dict(LAYERS["lstm"]("float32", 0)).items()}
    assert shapes == {
        f"{name}_l{k}{direction}": shape
        for k, D in ((0, 3), (1, 8))
        for direction in ("", "_reverse")
        for name, shape in {
            "weight_ih": (16, D),
            "weight_hh": (16, 4),
            "bias_ih": (16,),
            "bias_hh": (16,),
        }.items()
    }
    shapes = {key: array.shape for key, array in state_dict(fr.Linear(3, 4)).items()}
    assert shapes == {"weight": (4, 3), "bias": (4,)}


def test_results_are_copies(build):
    layer = build("float64", 0)
    with unchanged(layer):
        for array in state_dict(layer).values():
            array[...] = np.nan


def test_a_gru_computes_what_its_arrays_say():
    """The equations of PyTorch's documentation, written out."""
    layer = fr.GRU(3, 4, dtype="float64")
    arrays = random_like(state_dict(layer))
    load_state_dict(layer, arrays)
    rng = np.random.default_rng(2)
    x, h = rng.standard_normal((5, 3)), rng.standard_normal((5, 4))
    ax_r, ax_z, ax_n = np.split(x @ arrays["weight_ih_l0"].T + arrays["bias_ih_l0"], 3, axis=1)
    ah_r, ah_z, ah_n = np.split(h @ arrays["weight_hh_l0"].T + arrays["bias_hh_l0"], 3, axis=1)
    z, n = sigmoid(ax_z + ah_z), np.tanh(ax_n + sigmoid(ax_r + ah_r) * ah_n)
    y, _ = layer.step(x, h[None])
    np.testing.assert_allclose(y, (1 - z) * n + z * h, rtol=1e-12)


def test_the_second_bias_is_zero_except_for_the_candidate_of_a_gru():
    layer = randomised(fr.GRU(3, 4))
    arrays = state_dict(layer)
    np.testing.assert_array_equal(arrays["bias_ih_l0"], layer.params["b_l0"])
    np.testing.assert_array_equal(arrays["bias_hh_l0"][:8], np.zeros(8))
    np.testing.assert_array_equal(arrays["bias_hh_l0"][8:], layer.params["bh_l0"])


@pytest.mark.parametrize("cls", [fr.RNN, fr.LSTM, fr.GRU])
def test_without_biases_they_become_zero(cls):
    layer = randomised(cls(3, 4, 2))
    arrays = random_like(state_dict(layer))
    load_state_dict(layer, {key: a for key, a in arrays.items() if key.startswith("weight")})
    np.testing.assert_array_equal(layer.params["Wh_l1"], arrays["weight_hh_l1"].T)
    for key, param in layer.params.items():
        assert param.any() != key.startswith("b"), key


@pytest.mark.parametrize("bias", [True, False])
def test_names_of_cells(bias):
    layer, same = fr.LSTM(3, 4), fr.LSTM(3, 4)
    arrays = lstm_arrays()
    cell = {key.removesuffix("_l0"): array for key, array in arrays.items()}
    if not bias:
        cell = {key: array for key, array in cell.items() if key.startswith("weight")}
        arrays = {key: array for key, array in arrays.items() if key.startswith("weight")}
    load_state_dict(layer, cell)
    load_state_dict(same, arrays)
    for key, param in same.params.items():
        np.testing.assert_array_equal(layer.params[key], param)
    assert list(state_dict(layer, cell=True)) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


def test_prefix_picks_a_layer_of_a_model(tmp_path):
    gru, head = randomised(fr.GRU(3, 4, 2)), randomised(fr.Linear(4, 5))
    arrays = state_dict(gru, prefix="rnn.") | state_dict(head, prefix="head.")
    save_file(arrays, tmp_path / "model.safetensors")
    for source in (arrays, tmp_path / "model.safetensors", str(tmp_path / "model.safetensors")):
        gru_2, head_2 = fr.GRU(3, 4, 2), fr.Linear(4, 5)
        load_state_dict(gru_2, source, prefix="rnn.")
        load_state_dict(head_2, source, prefix="head.")
        for layer, other in ((gru, gru_2), (head, head_2)):
            for key, param in layer.params.items():
                np.testing.assert_array_equal(other.params[key], param)


def test_arrays_of_any_layout():
    layer, same = fr.LSTM(3, 4, dtype="float64"), fr.LSTM(3, 4, dtype="float64")
    arrays = lstm_arrays(dtype="float64")
    load_state_dict(layer, arrays)
    odd = {key: np.repeat(a.astype(">f8"), 2, axis=0)[::2] for key, a in arrays.items()}
    load_state_dict(same, odd)
    for key, param in layer.params.items():
        np.testing.assert_array_equal(same.params[key], param)


def test_a_parameter_that_is_a_view_of_another():
    """As in a model whose classifier is tied to the embedding."""
    embedding, linear = fr.Embedding(5, 3), fr.Linear(3, 5, bias=False)
    linear.params["W"] = embedding.params["W"].T
    weight = random_like(state_dict(linear))
    load_state_dict(linear, weight)
    np.testing.assert_array_equal(embedding.params["W"], weight["weight"])


def test_reference_layers():
    layer = randomised(fr.LSTM(3, 4))
    from fastrnn import reference

    other = reference.LSTM(3, 4)
    load_state_dict(other, state_dict(layer))
    np.testing.assert_array_equal(other.params["Wx_l0"], layer.params["Wx_l0"])


def changed(**changes):
    """Return the arrays of an LSTM(3, 4) with some replaced, or with None removed."""
    arrays = {**lstm_arrays(), **changes}
    return {key: array for key, array in arrays.items() if array is not None}


BAD = {
    "missing": (
        changed(weight_hh_l0=None, bias_ih_l0=None),
        ValueError,
        "LSTM: missing keys 'weight_hh_l0', 'bias_ih_l0'",
    ),
    "surplus": (
        changed(weight_ih_l1=np.ones(3), extra=np.ones(2)),
        ValueError,
        "LSTM: surplus keys 'weight_ih_l1', 'extra'",
    ),
    "both": (
        changed(bias_hh_l0=None, bias=np.ones(16)),
        ValueError,
        "LSTM: missing keys 'bias_hh_l0', surplus keys 'bias'",
    ),
    "nothing": ({}, ValueError, "LSTM: missing keys 'weight_ih_l0', 'weight_hh_l0'"),
    "of fastrnn": (
        {"Wx_l0": np.ones((3, 16))},
        ValueError,
        "LSTM: missing keys 'weight_ih_l0', 'weight_hh_l0', surplus keys 'Wx_l0'",
    ),
    "of a projection": (
        changed(weight_hr_l0=np.ones((2, 4), np.float32)),
        ValueError,
        "LSTM: surplus keys 'weight_hr_l0'",
    ),
    "of a cell, with more": (
        {key.removesuffix("_l0"): a for key, a in lstm_arrays().items()} | {"extra": np.ones(1)},
        ValueError,
        "LSTM: surplus keys 'extra'",
    ),
    "shape": (
        changed(bias_hh_l0=np.ones((12,), np.float32)),
        ValueError,
        "LSTM: bias_hh_l0 must have shape (16,), got (12,)",
    ),
    "transposed": (
        changed(weight_ih_l0=np.ones((3, 16), np.float32)),
        ValueError,
        "LSTM: weight_ih_l0 must have shape (16, 3), got (3, 16)",
    ),
    "dtype": (
        changed(bias_hh_l0=np.ones(16)),
        TypeError,
        "LSTM: bias_hh_l0 must be float32, got float64",
    ),
    "float16": (
        changed(weight_hh_l0=np.ones((16, 4), np.float16)),
        TypeError,
        "LSTM: weight_hh_l0 must be float32, got float16",
    ),
    "None": (
        lstm_arrays() | {"bias_hh_l0": None},
        TypeError,
        "LSTM: bias_hh_l0 must be float32, got object",
    ),
    "ragged": (
        lstm_arrays() | {"bias_hh_l0": [[1.0], 2.0]},
        TypeError,
        "LSTM: bias_hh_l0 must be a NumPy array: setting an array element with a sequence.*",
    ),
    "not a mapping": (
        list(lstm_arrays().items()),
        TypeError,
        "load_state_dict: source must be a mapping or a path, got list",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_sources_change_nothing(bad):
    source, error, message = BAD[bad]
    if not message.endswith("*"):
        message = re.escape(message) + "$"
    layer = fr.LSTM(3, 4)
    with unchanged(layer), pytest.raises(error, match=f"^{message}"):
        load_state_dict(layer, source)


def test_a_linear_layer_wants_the_bias_that_it_has():
    weight, bias = np.ones((4, 3), np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"^Linear: missing keys 'bias'$"):
        load_state_dict(fr.Linear(3, 4), {"weight": weight})
    with pytest.raises(ValueError, match=r"^Linear: surplus keys 'bias'$"):
        load_state_dict(fr.Linear(3, 4, bias=False), {"weight": weight, "bias": bias})


def test_layers_that_have_no_counterpart():
    with pytest.raises(TypeError, match=r"^state_dict: layer must be one of RNN, .*got Dropout$"):
        state_dict(fr.Dropout())
    with pytest.raises(TypeError, match=r"^load_state_dict: layer must be one of .*got dict$"):
        load_state_dict({}, fr.LSTM(3, 4))
    gru = fr.GRU(3, 4, reset_after=False)
    wanted = r"^GRU: reset_after must be True, as PyTorch's always is, got False$"
    with pytest.raises(ValueError, match=wanted):
        state_dict(gru)
    with unchanged(gru), pytest.raises(ValueError, match=wanted):
        load_state_dict(gru, state_dict(fr.GRU(3, 4)))
    residual = fr.LSTM(3, 4, 3, residual=True)
    wanted = r"^LSTM: residual must be False, as PyTorch's always is, got True$"
    with pytest.raises(ValueError, match=wanted):
        state_dict(residual)
    with unchanged(residual), pytest.raises(ValueError, match=wanted):
        load_state_dict(residual, state_dict(fr.LSTM(3, 4, 3)))
    with pytest.raises(ValueError, match=r"^LSTM: cell=True needs .*got num_layers=2 and bidirec"):
        state_dict(fr.LSTM(3, 4, 2), cell=True)


def test_a_frozen_layer_says_so():
    layer = fr.LSTM(3, 4).freeze()
    with unchanged(layer), pytest.raises(ValueError, match=r"^LSTM: loading needs unfreeze\(\)"):
        load_state_dict(layer, lstm_arrays())
    assert state_dict(layer).keys() == lstm_arrays().keys()


def test_a_read_only_parameter_is_found_before_the_first_write():
    layer = fr.LSTM(3, 4)
    layer.params["b_l0"].flags.writeable = False
    with unchanged(layer), pytest.raises(ValueError, match=r"^LSTM: the parameter b_l0 must be wr"):
        load_state_dict(layer, lstm_arrays())


def test_files_that_are_none(tmp_path):
    layer, path = fr.LSTM(3, 4), tmp_path / "weights.safetensors"
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors"):
        load_state_dict(layer, path)
    save_file(lstm_arrays(), path)
    data = path.read_bytes()
    for part in (b"", data[:100], data[:-1], b"PK\x03\x04" + bytes(100)):
        path.write_bytes(part)
        with unchanged(layer), pytest.raises(ValueError, match=rf"^{path}: [^\n]+$"):
            load_state_dict(layer, path)
    save_file(changed(bias_hh_l0=None), path)
    with unchanged(layer), pytest.raises(ValueError, match=r"^LSTM: missing keys 'bias_hh_l0'$"):
        load_state_dict(layer, path)


def test_a_file_in_bfloat16(tmp_path):
    """NumPy has it, as a dtype that does not fit, where another library has registered it."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_tensors

    path, layer = tmp_path / "weights.safetensors", fr.LSTM(3, 4)
    tensors = {key: torch.tensor(array) for key, array in lstm_arrays().items()}
    half = torch.ones(16, dtype=torch.bfloat16)
    save_tensors(tensors | {"bias_hh_l0": half}, path)
    message = r"^[^\n]+: bias_hh_l0 (has the dtype BF16, which|must be float32, got bf)[^\n]+$"
    with unchanged(layer), pytest.raises(TypeError, match=message):
        load_state_dict(layer, path)
    save_tensors({f"rnn.{key}": tensor for key, tensor in tensors.items()} | {"x": half}, path)
    load_state_dict(layer, path, prefix="rnn.")  # the other is not read
    np.testing.assert_array_equal(layer.params["Wx_l0"], lstm_arrays()["weight_ih_l0"].T)
