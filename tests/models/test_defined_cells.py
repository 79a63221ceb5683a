"""Models of cells that are written in the language, on both backends."""

from __future__ import annotations

import numpy as np
import pytest
from support.backends import needs_kernels

import fastrnn
from fastrnn import cell
from fastrnn.models import LanguageModel, Seq2Seq

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.integers(4, 20, (5, 7)), RNG.integers(4, 18, (5, 6))
LENGTHS = np.array([7, 3, 5, 1, 7])


@cell.define(gates="i f g o", states="h c k", weights="p")
def own(a, s, w):
    """Three states, a weight for each unit, and layer normalization."""
    c = cell.sigmoid(a.f + w.p * s.c) * s.c + cell.sigmoid(a.i) * cell.tanh(a.g)
    h = cell.sigmoid(a.o) * cell.tanh(cell.layer_norm(c + 0.5 * s.k))
    return {"h": h, "c": c, "k": 0.5 * s.k + 0.25 * h}


CELLS = {"own": own, **{name: name for name in ("layer_norm_lstm", "slstm", "indrnn")}}


@pytest.fixture(params=CELLS)
def a_cell(request):
    return CELLS[request.param]


def results(model, backend):
    """The loss, the gradients, what is generated and the scores of a beam search."""
    with fastrnn.backend(backend):
        loss = model.train().loss(SOURCE, LENGTHS, TARGET)
        model.backward()
        grads = {name: grad.copy() for name, grad in model.grads.items()}
        model.eval()
        tokens = model.generate(SOURCE, LENGTHS, max_length=8)
        found = model.beam_search(SOURCE, LENGTHS, max_length=8, beam_size=3)
    return {"loss": loss, **grads}, tokens, [best.score for (best,) in found]


@needs_kernels
@pytest.mark.parametrize("context", ["output", "input_feeding", "input"])
def test_an_encoder_decoder(a_cell, context):
    sizes = {"num_layers": 2, "recurrent_dropout": 0.0}
    model = Seq2Seq(
        20, 18, 8, 12, cell=a_cell, attention="general", context=context, dtype="float64", rng=0,
        **sizes,
    )  # fmt: skip
    gradients, tokens, scores = results(model, "compiled")
    wanted, wanted_tokens, wanted_scores = results(model, "reference")
    for name, array in wanted.items():
        np.testing.assert_allclose(gradients[name], array, 1e-8, 1e-10, err_msg=name)
    assert [list(t) for t in tokens] == [list(t) for t in wanted_tokens]
    np.testing.assert_allclose(scores, wanted_scores, 1e-9)


def test_a_language_model_in_a_file(a_cell, tmp_path):
    model = LanguageModel(20, 8, 12, num_layers=2, cell=a_cell, rng=0)
    inputs, targets = SOURCE[:, :-1], SOURCE[:, 1:]
    path = tmp_path / "model.safetensors"
    fastrnn.save(model, path)
    other = fastrnn.load(path)
    assert other.loss(inputs, targets) == model.loss(inputs, targets)
    model.backward()
    other.backward()
    np.testing.assert_equal(dict(other.grads), dict(model.grads))


def test_cells_that_a_model_cannot_have():
    with pytest.raises(ValueError, match=r"^Seq2Seq: cell must not project h, got LSTMP$"):
        Seq2Seq(20, 18, 8, 12, cell="lstmp")
    model = Seq2Seq(20, 18, 8, 12, cell="zoneout_lstm", attention="dot", context="input", rng=0)
    with pytest.raises(ValueError, match="in training cell must be a cell without `keep`"):
        model.loss(SOURCE, None, TARGET)
