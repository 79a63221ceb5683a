"""Every option of Seq2Seq and their combinations, against PyTorch and by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_check import assert_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from fastrnn.models import Seq2Seq

SCORES = ("dot", "scaled_dot", "general", "additive")
CONTEXTS = ("output", "input_feeding", "input")


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of Seq2Seq that do not contradict each other, without dropout."""
    attention = draw(st.sampled_from([None, *SCORES]))
    bridge = draw(st.sampled_from([None, "tanh", "linear"]))
    layers = draw(st.integers(1, 3))
    options: dict[str, Any] = {
        "cell": draw(st.sampled_from(["lstm", "gru", "rnn"])),
        "num_layers": layers,
        "decoder_layers": draw(st.integers(1, layers)),
        "attention": attention,
        "bridge": bridge,
        "hidden_only": bridge is None and draw(st.booleans()),
        "peeky": draw(st.booleans()),
        "reverse_source": draw(st.booleans()),
        "bidirectional_encoder": draw(st.booleans()),
        "label_smoothing": draw(st.sampled_from([0.0, 0.2])),
        "tie_embeddings": draw(st.booleans()),
    }
    hidden_size, features = 4, 4
    if attention is not None:
        options["context"] = draw(st.sampled_from(CONTEXTS))
        options["readout"] = draw(st.sampled_from(["concat", "tanh"]))
        features = 2 * hidden_size
        if options["readout"] == "tanh":
            features = options["readout_size"] = draw(st.sampled_from([3, 4]))
    width = features + hidden_size * options["peeky"]
    embedding_size = width if options["tie_embeddings"] else 5
    return {"embedding_size": embedding_size, "hidden_size": hidden_size, **options}


def make(seed: int = 0, **options: Any) -> Seq2Seq:
    """A model in float64 whose biases are not zeros."""
    sizes = {"source_size": 9, "target_size": 8, "embedding_size": 3, "hidden_size": 4}
    model = Seq2Seq(**{"dtype": np.float64, "rng": seed, **sizes, **options})
    rng = np.random.default_rng(seed)
    for param in model.params.values():
        param += 0.1 * rng.standard_normal(param.shape)
    return model


def random_batch(seed: int, count: int = 4, steps: int = 5) -> tuple[Any, Any, Any]:
    """Sources and targets of 1 to so many tokens, padded with 0."""
    rng = np.random.default_rng(seed)
    source, lengths = rng.integers(3, 9, (count, steps)), rng.integers(1, steps + 1, count)
    target, ends = rng.integers(3, 8, (count, steps)), rng.integers(0, steps, count)
    source[np.arange(steps) >= lengths[:, None]] = 0
    target[np.arange(count), ends] = 2
    target[np.arange(steps) > ends[:, None]] = 0
    return source, lengths, target


@settings(deadline=None, max_examples=60)
@given(options=configurations(), seed=st.integers(0, 2**32 - 1))
def test_loss_and_gradients_are_those_of_pytorch(options: dict[str, Any], seed: int) -> None:
    pytest.importorskip("torch")
    from torch_seq2seq import loss_and_gradients

    model, batch = make(seed, **options), random_batch(seed)
    loss = model.loss(*batch)
    model.backward()
    wanted, gradients = loss_and_gradients(model, *batch)
    assert loss == pytest.approx(wanted, rel=1e-10)
    assert gradients.keys() == model.grads.keys()
    for key, grad in model.grads.items():
        assert_allclose(grad, gradients[key], rtol=1e-7, atol=1e-12, err_msg=key)
