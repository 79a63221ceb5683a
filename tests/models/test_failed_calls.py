"""A `loss` or `backward` that fails in the middle changes no gradient and no buffer."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from fastrnn.models import LanguageModel, Seq2Seq

rng = np.random.default_rng(0)
INSIDE = {"attention": "general", "context": "input_feeding", "readout": "tanh"}
MODELS = {
    "language model": lambda: LanguageModel(9, 5, 6, num_layers=2, dropout=0.1, rng=0),
    "tied": lambda: LanguageModel(9, 6, 6, tie_weights=True, rng=0),
    "plain": lambda: Seq2Seq(9, 9, 5, 6, bridge="linear", rng=0),
    "after": lambda: Seq2Seq(9, 9, 5, 6, attention="additive", peeky=True, rng=0),
    "inside": lambda: Seq2Seq(9, 9, 6, 6, tie_embeddings=True, **INSIDE, rng=0),
}


@pytest.fixture(params=MODELS)
def model(request):
    """A model after a batch, with the gradients and the state of it."""
    model = MODELS[request.param]()
    model.loss(*batch_of(model))
    model.backward()
    return model


def batch_of(model):
    tokens = rng.integers(3, 9, (4, 5))
    return (tokens, tokens) if isinstance(model, LanguageModel) else (tokens, None, tokens)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_nothing_changed(model, method, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    failed = set()
    for name, layer in model.layers.items():
        if method == "backward":
            model.loss(*batch_of(model))
        before = copy.deepcopy((dict(model.grads), dict(model.buffers)))
        with monkeypatch.context() as patched:
            patched.setattr(layer, method, fail)
            try:
                model.backward() if method == "backward" else model.loss(*batch_of(model))
            except MemoryError:
                failed.add(name)
                np.testing.assert_equal((dict(model.grads), dict(model.buffers)), before)
    assert len(failed) > 3
