from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import _storage, layers, reference
from fastrnn.models import LanguageModel, Seq2Seq, Translator, load, load_with_extra, save
from fastrnn.models.base import Model
from fastrnn.models.serialization import check_writable
from fastrnn.training import Adam, Trainer

F32, F64 = np.float32, np.float64
SUBJECTS: list[Any] = [
    layers.RNN(3, 4, nonlinearity="relu", rng=0),
    layers.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.25, dtype=F64, rng=0),
    layers.GRU(3, 4, reset_after=False, rng=0),
    layers.LSTM(3, 4, 3, recurrent_dropout=0.2, residual=True, rng=0),
    layers.Embedding(5, 3, dtype=F64, rng=0),
    layers.Linear(3, 4, bias=False, rng=0),
    layers.Dropout(0.3, rng=0),
    layers.Attention(3, 4, 5, score="additive", rng=0),
    layers.SoftmaxCrossEntropy(ignore_index=0),
    layers.Tanh(),
    reference.LSTM(3, 4, rng=0),
    layers.Attention(30, 30, score="dot", rng=0),
    layers.Attention(3, 4, 6, score="multi_head", num_heads=2, value_size=5, rng=0),
    layers.SoftmaxCrossEntropy(ignore_index=-100, label_smoothing=0.1),
    LanguageModel(7, 4, 4, cell="gru", num_layers=2, dropout=0.1, tie_weights=True, rng=0),
    LanguageModel(7, 3, 4, cell="rnn", dtype=F64, rng=0),
    Seq2Seq(9, 8, 3, 4, rng=0),
    Seq2Seq(
        9,
        8,
        6,
        4,
        num_layers=2,
        decoder_layers=1,
        attention="multi_head",
        num_heads=2,
        context="input_feeding",
        readout="tanh",
        readout_size=6,
        bridge="tanh",
        tie_embeddings=True,
        label_smoothing=0.1,
        sampling_rate=0.25,
        rng=0,
    ),
    Seq2Seq(
        9,
        8,
        3,
        4,
        cell="gru",
        num_layers=2,
        attention="general",
        peeky=True,
        reverse_source=True,
        bidirectional_encoder=True,
        hidden_only=True,
        dropout=0.2,
        dtype=F64,
        rng=0,
    ),
]


i64 = np.int64
SCALARS: list[Any] = [
    LanguageModel(
        i64(10),
        i64(8),
        i64(8),
        num_layers=i64(2),
        dropout=F32(0.5),
        tie_weights=np.True_,  # type: ignore[arg-type]
        dtype=np.dtype(F64),
    ),
    Seq2Seq(
        i64(9),
        np.uint8(8),
        np.int8(100),
        np.int8(100),
        num_layers=i64(1),
        attention="additive",
        peeky=np.True_,  # type: ignore[arg-type]
        bidirectional_encoder=np.True_,  # type: ignore[arg-type]
        dropout=F64(0.5),
    ),
]


@pytest.mark.parametrize("model", SCALARS, ids=lambda model: type(model).__name__)
def test_models_built_with_numpy_scalars_are_saved(model: Any, tmp_path: Path) -> None:
    save(model, tmp_path / "x")
    assert load(tmp_path / "x").config() == model.config()


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: type(subject).__name__)
def test_what_is_loaded_is_bitwise_what_was_saved(subject: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for param in subject.params.values():
        param[...] = rng.standard_normal(param.shape)
    save(subject, tmp_path / "x.safetensors")
    loaded = load(tmp_path / "x.safetensors")
    assert type(loaded).__name__ == type(subject).__name__
    assert loaded.config() == subject.config()
    assert list(loaded.params) == list(subject.params)
    for key, param in subject.params.items():
        assert loaded.params[key].dtype == param.dtype
        np.testing.assert_array_equal(loaded.params[key], param)


def test_a_loaded_model_computes_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    model = Seq2Seq(9, 8, 3, 4, attention="dot", rng=5)
    fastrnn.save(model, tmp_path / "model")
    loaded = fastrnn.load(tmp_path / "model")
    batch = rng.integers(3, 9, (4, 5)), rng.integers(1, 6, 4), rng.integers(2, 8, (4, 6))
    assert loaded.loss(*batch) == model.loss(*batch)
    np.testing.assert_array_equal(loaded.generate(*batch[:2]), model.generate(*batch[:2]))


def test_a_loaded_model_shares_one_ordinary_generator(tmp_path: Path) -> None:
    for subject in (Seq2Seq(9, 8, 3, 4, dropout=0.5), layers.LSTM(3, 4, 2, dropout=0.5)):
        save(subject, tmp_path / "x")
        loaded = load(tmp_path / "x")
        assert type(loaded.rng) is np.random.Generator
        for layer in getattr(loaded, "layers", {}).values():
            assert layer.rng is loaded.rng


def test_extra_travels_along(tmp_path: Path) -> None:
    extra = {"vocabulary": ["é", "\n", "字"], "epochs": 3}
    save(layers.Linear(2, 3, rng=0), tmp_path / "x", extra=extra)
    _, loaded = load_with_extra(tmp_path / "x")
    assert loaded == extra
    save(layers.Linear(2, 3, rng=0), tmp_path / "x")
    assert load_with_extra(tmp_path / "x")[1] == {}


def rewrite(path: Path, **changes: Any) -> None:
    """Save a model, then change its file's metadata (None removes) or arrays."""
    model = LanguageModel(7, 3, 4, rng=0)
    save(model, path)
    arrays, metadata = _storage.read(path)
    for key, value in changes.items():
        if isinstance(value, str):
            metadata[key] = value
        elif value is None:
            metadata.pop(key)
    arrays |= changes.get("arrays", {})
    for name in changes.get("without", ()):
        del arrays[name]
    _storage.write(path, arrays, metadata)


def sizes(**changes: Any) -> str:
    return json.dumps({"vocab_size": 7, "embedding_size": 3, "hidden_size": 4, **changes})


BIG = sizes(vocab_size=10**30)
NESTED = "[" * 100_000
TOO_DEEP = "(maximum recursion|Stack overflow)"  # the latter from Python 3.14 on


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class": "Popen"}, "unknown class 'Popen', known: RNN, LSTM.*Seq2Seq$"),
        ({"class": None}, "unknown class None"),
        ({"kind": "checkpoint"}, "a checkpoint, not a model$"),
        ({"kind": None}, "not a model$"),
        ({"config": None}, "does not describe a LanguageModel: 'config'"),
        ({"config": "{"}, "does not describe a LanguageModel"),
        ({"config": "[1]"}, "does not describe a LanguageModel"),
        ({"config": "{}"}, "does not describe a LanguageModel"),
        ({"config": BIG}, "does not describe a LanguageModel"),
        ({"config": sizes(vocab_size=10**5)}, "more parameters than the file has values$"),
        ({"config": sizes(hidden_size=10**12)}, "LSTM: parameters and gradients must take at most"),
        ({"config": sizes(num_layers=10**9)}, "more layers than the file has arrays$"),
        ({"config": sizes(num_layers="many")}, "does not describe a LanguageModel"),
        ({"config": NESTED}, f"does not describe a LanguageModel: {TOO_DEEP}"),
        ({"extra": NESTED}, f"does not describe a LanguageModel: {TOO_DEEP}"),
        ({"config": '{"wrong": 1}'}, "does not describe a LanguageModel.*wrong"),
        ({"extra": "7"}, "does not describe a LanguageModel"),
        ({"without": ["output.b"]}, "missing: output.b$"),
        ({"arrays": {"more": np.ones(2)}}, "not a parameter of the model: more$"),
        (
            {"arrays": {"output.b": np.ones(3, F32)}},
            r"output.b must be float32 \(7,\), got .*\(3,\)",
        ),
        ({"arrays": {"output.b": np.ones(7)}}, r"output.b must be float32 \(7,\), got float64 \(7"),
    ],
)
def test_a_file_that_is_not_a_model(changes: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


WRONG = [None, True, "x\x1b[2J\n", -1, 1.5, float("nan"), 10**30, [], [1], [[]], {}, {"x": 1}]


@pytest.mark.parametrize("part", ["config", "extra"])
def test_any_damage_of_the_metadata_is_found_on_reading(part: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong"
    Translator.from_pairs([("ab", "cd")], 3, 4, attention="dot", rng=0).save(path)
    arrays, metadata = _storage.read(path)
    whole = json.loads(metadata[part])
    accepted = 0
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    for keys in (*((key,) for key in whole), *(("source", key) for key in whole.get("source", ()))):
        for value in [*WRONG, deep, ["\x1b", "\n"], ["a\x1b[2J"]]:
            damaged = json.loads(metadata[part])
            inner = damaged if len(keys) == 1 else damaged[keys[0]]
            inner[keys[-1]] = value
            _storage.write(path, arrays, {**metadata, part: json.dumps(damaged)})
            try:
                translator = Translator.load(path)
            except ValueError as error:
                assert str(error).startswith(f"{path}: ") and str(error).isprintable()
            else:
                accepted += 1
                translator(["a"], max_length=3)
    assert accepted


def test_escapes_of_a_file_are_printed_escaped(tmp_path: Path) -> None:
    path, escape = tmp_path / "wrong", "\x1b]0;title\x07\n"
    for changes in (
        {"kind": escape},
        {"class": escape},
        {"class": "x" * 10_000},
        {"config": sizes(**{escape: 1})},
        {"config": sizes(cell=escape)},
        {"arrays": {escape: np.ones(2)}},
        {"arrays": {f"{i}": np.ones(2) for i in range(1000)}},
    ):
        rewrite(path, **changes)
        with pytest.raises(ValueError, match="^" + str(path)) as caught:
            load(path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1500


def test_files_that_are_no_fastrnn_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save(layers.Linear(20, 30, rng=0), path)
    whole = path.read_bytes()
    for content in (b"", b"not a model at all", whole[: len(whole) // 2], whole[:50]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="^" + str(path)):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_a_checkpoint_is_told_from_a_model(tmp_path: Path) -> None:
    model = LanguageModel(7, 3, 4, rng=0)
    Trainer(model, Adam(), progress=False).save(tmp_path / "run")
    with pytest.raises(ValueError, match="run: a checkpoint, not a model"):
        load(tmp_path / "run")


class Homemade(Model):
    def loss(self, *args: Any, **kwargs: Any) -> float:
        return 0.0

    def backward(self) -> None:
        pass

    def config(self) -> dict[str, Any]:
        return {}


def test_classes_of_others_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"model must be one of RNN, .*, got Homemade"):
        save(Homemade({}, np.random.default_rng(0)), tmp_path / "x")
    foreign = type("LSTM", (Homemade,), {})
    with pytest.raises(TypeError, match=r"model must be one of RNN, .*, got LSTM"):
        save(foreign({}, np.random.default_rng(0)), tmp_path / "x")
    with pytest.raises(TypeError, match="not JSON serializable"):
        save(layers.Linear(2, 3), tmp_path / "x", extra={"set": {1}})
    assert not (tmp_path / "x").exists()


def _own(base: type, name: str, method: Any) -> Any:
    return type(base.__name__, (base,), {name: method})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: _own(layers.LSTM, "forward", lambda self, x: x)(3, 4), "forward"),
        (lambda: _own(reference.LSTM, "weights", lambda self: [])(3, 4), "weights"),
        (lambda: _own(layers.GRU, "config", lambda self: {})(3, 4), "config"),
        (lambda: _own(LanguageModel, "_run", lambda self, *args: args)(9, 3, 4), "_run"),
        (lambda: _own(LanguageModel, "chain", property(lambda self: []))(9, 3, 4), "chain"),
        (lambda: _own(Seq2Seq, "generate", lambda self, *args: args)(9, 9, 3, 4), "generate"),
        (lambda: _own(_own(Seq2Seq, "loss", None), "more", None)(9, 9, 3, 4), "loss"),
    ],
)
def test_a_class_of_the_same_name_that_computes_something_else(
    make: Any, name: str, tmp_path: Path
) -> None:
    subject = make()
    kind = type(subject).__name__
    message = rf"^save: the model must be a plain {kind}, got a subclass with its own {name}$"
    with pytest.raises(TypeError, match=message):
        save(subject, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_method_of_an_object_that_was_replaced(tmp_path: Path) -> None:
    layer, model = layers.Linear(3, 4), LanguageModel(9, 3, 4)
    layer.forward = lambda x: x  # type: ignore[method-assign]
    model.loss = lambda *batch: 0.0  # type: ignore[method-assign]
    for subject, name in ((layer, "forward"), (model, "loss")):
        with pytest.raises(TypeError, match=rf"^save: the model must .* with its own {name}$"):
            save(subject, tmp_path / "x")


def test_a_class_of_the_same_name_that_computes_the_same(tmp_path: Path) -> None:
    subject = _own(layers.LSTM, "weight_count", lambda self: 1)(3, 4, rng=0)
    save(subject, tmp_path / "x")
    x = np.ones((2, 3, 3), "float32")
    np.testing.assert_equal(load(tmp_path / "x")(x), subject(x))


def test_whether_a_file_can_be_written_is_known_before(tmp_path: Path) -> None:
    path = tmp_path / "model"
    check_writable(path)
    assert not list(tmp_path.iterdir())
    save(layers.Linear(2, 3), path)
    check_writable(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for wrong, message in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "model", "No such file or directory"),
        (path / "model", "Not a directory"),
        (loop, "Too many levels of symbolic links"),
    ):
        with pytest.raises(OSError, match=message) as caught:
            check_writable(wrong)
        assert caught.value.filename == str(wrong)


@pytest.mark.parametrize("kind", [layers.RNN, layers.LSTM, layers.GRU, reference.LSTM])
def test_dropout_of_one_layer_was_warned_of_when_it_was_made(kind, tmp_path):
    with pytest.warns(UserWarning, match="has no effect with num_layers=1"):
        layer = kind(3, 4, dropout=0.25, rng=0)
    save(layer, tmp_path / "layer")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(tmp_path / "layer")
    assert loaded.config() == layer.config() and loaded.dropout == 0.25
    for wrong in (2.0, "much", None):
        arrays, metadata = _storage.read(tmp_path / "layer")
        config = {**json.loads(metadata["config"]), "dropout": wrong}
        _storage.write(tmp_path / "wrong", arrays, {**metadata, "config": json.dumps(config)})
        with pytest.raises(ValueError, match=f"does not describe a {kind.__name__}: .*dropout"):
            load(tmp_path / "wrong")


def test_residual_connections_without_effect_in_a_file_from_before(tmp_path):
    """They begin at the third layer; now a constructor refuses them below that."""
    layer = layers.LSTM(3, 4, 2, rng=0)
    vars(layer)["residual"] = True
    save(layer, tmp_path / "layer")
    loaded = load(tmp_path / "layer")
    assert not loaded.residual
    x = np.ones((2, 3, 3), "float32")
    np.testing.assert_equal(loaded(x), layer(x))
