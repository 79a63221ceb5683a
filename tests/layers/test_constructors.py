"""What constructors refuse, or warn of, before they draw anything."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastrnn
from fastrnn import _check
from fastrnn.models import LanguageModel, Seq2Seq

RESIDUAL = "residual needs num_layers of at least 3, where its connections begin"


@pytest.mark.parametrize("num_layers", [1, 2])
def test_residual_connections_that_would_not_be(kind, num_layers):
    with pytest.raises(ValueError, match=rf"^\w+: {RESIDUAL}, got {num_layers}$"):
        kind(3, 4, num_layers, residual=True)
    options = {"num_layers": num_layers, "residual": True}
    for build, sizes in ((LanguageModel, (9, 3, 4)), (Seq2Seq, (9, 9, 3, 4))):
        with pytest.raises(ValueError, match=rf"^{build.__name__}: {RESIDUAL}, got {num_layers}$"):
            build(*sizes, **options)


@pytest.mark.parametrize("cell", [fastrnn.RNN, fastrnn.LSTM, fastrnn.GRU])
def test_dropout_between_one_layer_warns_in_the_line_of_the_caller(cell):
    with pytest.warns(UserWarning, match=r"^\w+: dropout=0.5 has no effect with num_l") as got:
        cell(3, 4, dropout=0.5)
    assert [warning.filename for warning in got] == [__file__]


def test_dropout_has_an_effect_in_every_model():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastrnn.LSTM(3, 4, 2, dropout=0.5)
        fastrnn.LSTM(3, 4, recurrent_dropout=0.5)
        model = LanguageModel(9, 3, 4, dropout=0.5)
        assert model.config()["dropout"] == model.dropout_out.p == 0.5
        model = Seq2Seq(9, 9, 3, 4, num_layers=3, decoder_layers=1, dropout=0.5, residual=True)
        assert model.encoder.rnn.residual and model.encoder.rnn.dropout == 0.5
        assert not model.decoder.rnn.residual and model.decoder.rnn.dropout == 0


HUGE = {
    "many layers": lambda rng: fastrnn.LSTM(1, 1, num_layers=10**9, rng=rng),
    "a wide state": lambda rng: fastrnn.GRU(1, 10**9, rng=rng),
    "two directions": lambda rng: fastrnn.RNN(1, 1, 10**9, bidirectional=True, rng=rng),
    "wide inputs": lambda rng: fastrnn.RNN(10**12, 4, rng=rng),
    "linear": lambda rng: fastrnn.Linear(10**9, 10**9, rng=rng),
    "embedding": lambda rng: fastrnn.Embedding(10**15, 10**15, rng=rng),
    "attention": lambda rng: fastrnn.Attention(10**9, 10**9, score="general", rng=rng),
    "language model": lambda rng: LanguageModel(10**12, 4, 4, rng=rng),
    "deep model": lambda rng: LanguageModel(4, 4, 4, num_layers=10**9, rng=rng),
    "encoder-decoder": lambda rng: Seq2Seq(10**12, 9, 4, 4, rng=rng),
}
GIBIBYTES = r"must take at most the [\d.e+-]+ GiB of memory, got [\d.e+-]+ GiB$"


@pytest.mark.parametrize("name", HUGE)
def test_parameters_beyond_the_memory(name):
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match=rf"^\w+: parameters and gradients {GIBIBYTES}"):
        HUGE[name](rng)
    if "model" not in name and name != "encoder-decoder":  # their layers come one by one
        assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_limit_is_the_memory(dtype, monkeypatch):
    layer = fastrnn.LSTM(40, 30, 3, bidirectional=True, dtype=dtype)
    arrays = [*layer.params.values(), *layer.grads.values()]
    needed = sum(array.nbytes + _check._ARRAY_BYTES for array in arrays)
    first = sum(array.nbytes for key, array in layer.params.items() if "_l0" in key)
    for memory, fits in ((needed, True), (needed - 1, False), (2 * first, False)):
        monkeypatch.setattr(_check, "_memory", lambda memory=memory: memory)
        if fits:
            fastrnn.LSTM(40, 30, 3, bidirectional=True, dtype=dtype)
            continue
        with pytest.raises(ValueError, match=rf"^LSTM: parameters and gradients {GIBIBYTES}"):
            fastrnn.LSTM(40, 30, 3, bidirectional=True, dtype=dtype)


def test_the_memory_is_known_here():
    assert 2**26 < _check._memory() < 2**50
