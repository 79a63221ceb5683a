"""Every option of Seq2Seq and their combinations, against PyTorch and by finite differences."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from support.gradient_check import assert_gradients

from fastrnn.models import Seq2Seq

SCORES = ("dot", "scaled_dot", "general", "additive", "multi_head")
CONTEXTS = ("output", "input_feeding", "input")


FORMS = [(None, "output"), *itertools.product(SCORES, CONTEXTS)]


@st.composite
def configurations(draw: st.DrawFn, attention: str | None, context: str) -> dict[str, Any]:
    """Arguments of Seq2Seq that do not contradict each other, without dropout."""
    bridge = draw(st.sampled_from([None, "tanh", "linear"]))
    layers = draw(st.integers(1, 3))
    options: dict[str, Any] = {
        "cell": draw(st.sampled_from(["lstm", "gru", "rnn"])),
        "num_layers": layers,
        "decoder_layers": draw(st.integers(1, layers)),
        "attention": attention,
        "context": context,
        "bridge": bridge,
        "hidden_only": bridge is None and draw(st.booleans()),
        "peeky": draw(st.booleans()),
        "reverse_source": draw(st.booleans()),
        "bidirectional_encoder": draw(st.booleans()),
        "label_smoothing": draw(st.sampled_from([0.0, 0.2])),
        "residual": layers > 2 and draw(st.booleans()),
        "tie_embeddings": draw(st.booleans()),
    }
    hidden_size, features = 4, 4
    if attention == "multi_head":
        options["num_heads"] = draw(st.sampled_from([2, 4, 1]))
    if attention is not None:
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


@pytest.mark.parametrize(("attention", "context"), FORMS)
@settings(deadline=None, max_examples=5)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_loss_and_gradients_are_those_of_pytorch(
    attention: str | None, context: str, data: st.DataObject, seed: int
) -> None:
    pytest.importorskip("torch")
    from support.torch_seq2seq import loss_and_gradients

    options = data.draw(configurations(attention, context))
    model, batch = make(seed, **options), random_batch(seed)
    loss = model.loss(*batch)
    model.backward()
    wanted, gradients = loss_and_gradients(model, *batch)
    assert loss == pytest.approx(wanted, rel=1e-10)
    assert gradients.keys() == model.grads.keys()
    for key, grad in model.grads.items():
        assert_allclose(grad, gradients[key], rtol=1e-7, atol=1e-12, err_msg=key)


FINITE_DIFFERENCES: list[dict[str, Any]] = [
    {"num_layers": 3, "decoder_layers": 2, "bridge": "linear"},
    {"num_layers": 2, "bidirectional_encoder": True, "bridge": "tanh", "peeky": True},
    {"attention": "general", "readout": "tanh", "readout_size": 5, "label_smoothing": 0.1},
    {"attention": "dot", "context": "input_feeding", "tie_embeddings": True, "embedding_size": 8},
    {"attention": "additive", "context": "input", "readout": "tanh", "num_layers": 2},
]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("options", FINITE_DIFFERENCES, ids=str)
def test_gradients_by_finite_differences(options: dict[str, Any], cell: str) -> None:
    rng = np.random.default_rng(1)
    assert_gradients(make(1, cell=cell, **options), random_batch(1), rng)


@pytest.mark.parametrize(("attention", "context"), FORMS)
@settings(deadline=None, max_examples=3)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_loss_of_a_batch_is_that_of_its_sequences(
    attention: str | None, context: str, data: st.DataObject, seed: int
) -> None:
    """Each alone and without padding, weighted by its number of tokens."""
    options = data.draw(configurations(attention, context))
    model, (source, lengths, target) = make(seed, **options).eval(), random_batch(seed)
    wide = np.pad(source, ((0, 0), (0, 3))), lengths, np.pad(target, ((0, 0), (0, 2)))
    counts = (target != 0).sum(axis=1)
    losses = [
        model.loss(source[i : i + 1, :length], None, target[i : i + 1, :count])
        for i, (length, count) in enumerate(zip(lengths, counts, strict=True))
    ]
    wanted = pytest.approx(np.average(losses, weights=counts), rel=1e-12)
    assert model.loss(source, lengths, target) == wanted
    assert model.loss(*wide) == wanted


def test_dropout_reaches_every_place_and_sampling_too() -> None:
    """Two losses in train mode differ, with one option or the other; in eval mode they do not."""
    options: dict[str, Any] = {"attention": "dot", "num_layers": 2, "context": "input"}
    batch = random_batch(2)
    for random in ({"dropout": 0.4}, {"sampling_rate": 0.5}, {"recurrent_dropout": 0.4}):
        model = make(2, **options, **random)
        assert len({model.loss(*batch) for _ in range(8)}) > 1
        assert len({model.eval().loss(*batch) for _ in range(3)}) == 1


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("peeky", [False, True])
def test_sampling_feeds_what_the_decoder_found_likeliest(context: str, peeky: bool) -> None:
    """At a rate of 1 the loss is that of a target that teacher forcing reproduces as fed."""
    model = make(3, attention="general", context=context, peeky=peeky)
    source, lengths, target = random_batch(3)
    model.sampling_rate = 1.0
    loss = model.loss(source, lengths, target)
    memory = model.encoder.forward(source, lengths)
    fed = np.ones((len(source), 1), np.int64)
    for _ in range(target.shape[1]):
        logits = model.decoder.forward(fed, memory).reshape(*fed.shape, -1)
        fed = np.concatenate([fed, logits[:, -1:].argmax(axis=-1)], axis=1)
    assert loss == pytest.approx(model.criterion(logits, target), rel=1e-12)
    forced = make(3, attention="general", context=context, peeky=peeky)
    assert loss != forced.loss(source, lengths, target)


RANDOM: list[dict[str, Any]] = [
    {"sampling_rate": 0.5},
    {"dropout": 0.3, "recurrent_dropout": 0.3, "num_layers": 3, "residual": True},
    {"dropout": 0.3, "embedding_dropout": 0.5},
]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, 0.3), ({"embedding_dropout": 0.0}, 0.0), ({"embedding_dropout": 0.5}, 0.5)],
    ids=str,
)
def test_embeddings_are_dropped_as_all_else_or_by_a_rate_of_their_own(
    options: dict[str, Any], wanted: float
) -> None:
    model = make(3, num_layers=2, dropout=0.3, **options)
    assert model.config()["embedding_dropout"] == wanted
    assert model.encoder.dropout.p == model.decoder.dropout_in.p == wanted
    assert model.encoder.rnn.dropout == model.decoder.dropout_out.p == 0.3


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("options", RANDOM, ids=str)
def test_gradients_where_chance_plays_a_part(options: dict[str, Any], context: str) -> None:
    """With the same draws, and with what sampling chose as a constant of the loss."""
    model = make(4, attention="general", context=context, **options)
    state = model.rng.bit_generator.state

    def same_draws(*arguments: Any) -> float:
        model.rng.bit_generator.state = state
        return Seq2Seq.loss(model, *arguments)

    model.loss = same_draws  # type: ignore[method-assign]
    assert_gradients(model, random_batch(4), np.random.default_rng(4))


def test_the_sampling_rate_is_a_property_and_in_the_configuration() -> None:
    model = make(sampling_rate=0.25)
    assert model.sampling_rate == 0.25
    model.sampling_rate = 1
    assert model.config()["sampling_rate"] == 1.0
    with pytest.raises(ValueError, match=r"^Seq2Seq: sampling_rate must be in \[0, 1\], got 1.5$"):
        model.sampling_rate = 1.5
    assert model.sampling_rate == 1.0


def test_a_tied_classifier_is_one_parameter() -> None:
    model = make(attention="dot", readout="tanh", readout_size=3, tie_embeddings=True)
    assert "decoder.output.W" not in model.params
    before = model.loss(*random_batch(5))
    model.params["decoder.embedding.W"][...] += 0.1
    assert model.loss(*random_batch(5)) != before
    assert np.shares_memory(model.decoder.output.params["W"], model.params["decoder.embedding.W"])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_without_a_bridge_the_decoder_starts_from_the_encoders_last_layers(
    bidirectional: bool,
) -> None:
    model = make(num_layers=3, decoder_layers=2, bidirectional_encoder=bidirectional)
    source, lengths, _ = random_batch(6)
    h, c = model.encoder.forward(source, lengths).states
    _, state = model.encoder.rnn(model.encoder.embedding(source), lengths=lengths)
    for mine, theirs in zip((h, c), state, strict=True):
        last = theirs[-2:] if not bidirectional else theirs[-4:].reshape(2, 2, len(source), 2)
        wanted = last if not bidirectional else np.concatenate([last[:, 0], last[:, 1]], axis=-1)
        np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder_layers": 2}, "decoder_layers must be at most num_layers, 1, got 2"),
        (
            {"bidirectional_encoder": True, "hidden_size": 5, "bridge": "tanh"},
            "hidden_size must be even for a bidirectional encoder, .*, got 5",
        ),
        ({"decoder_layers": 0}, "decoder_layers must be at least 1, got 0"),
        ({"num_heads": 2}, "num_heads needs attention='multi_head', got None"),
        ({"num_heads": 2, "attention": "dot"}, "num_heads needs attention='multi_head', got 'dot'"),
        (
            {"num_heads": 3, "attention": "multi_head"},
            "num_heads must divide the attention size 4, got 3",
        ),
        ({"num_heads": 0, "attention": "multi_head"}, "num_heads must be at least 1, got 0"),
        ({"context": "input"}, "context 'input' needs attention, got None"),
        ({"context": "all", "attention": "dot"}, "context must be one of output, .*, got 'all'"),
        ({"readout": "tanh"}, "readout 'tanh' needs attention, got None"),
        (
            {"readout": "relu", "attention": "dot"},
            "readout must be one of concat, tanh, got 'relu'",
        ),
        (
            {"readout_size": 3, "attention": "dot"},
            "readout_size needs readout='tanh', got 'concat'",
        ),
        (
            {"readout_size": 0, "readout": "tanh", "attention": "dot"},
            "readout_size must be at least 1, got 0",
        ),
        ({"bridge": "relu"}, "bridge must be one of linear, tanh, got 'relu'"),
        ({"bridge": "tanh", "hidden_only": True}, "hidden_only needs bridge=None, got 'tanh'"),
        (
            {"tie_embeddings": True},
            "tie_embeddings needs embedding_size to be the width of .* input, 4, got 3",
        ),
        (
            {"tie_embeddings": True, "attention": "dot", "peeky": True, "embedding_size": 4},
            ".* classifier's input, 12, got 4",
        ),
        ({"recurrent_dropout": 1.0}, r"recurrent_dropout must be in \[0, 1\), got 1.0"),
        ({"embedding_dropout": "a"}, "embedding_dropout must be a number, got 'a'"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"sampling_rate": -0.1}, r"sampling_rate must be in \[0, 1\], got -0.1"),
        ({"sampling_rate": "a"}, "sampling_rate must be a number, got 'a'"),
    ],
)
def test_options_that_are_wrong_or_contradict_each_other(
    options: dict[str, Any], message: str
) -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    with pytest.raises((ValueError, TypeError), match=f"^Seq2Seq: {message}$"):
        make(**options, rng=rng)
    assert rng.bit_generator.state == before
