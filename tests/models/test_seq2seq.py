from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gradient_check import assert_gradients

from fastrnn._cells import CELLS
from fastrnn.data import Batches
from fastrnn.models import Seq2Seq
from fastrnn.training import Adam, Trainer

ATTENTIONS = (None, "dot", "scaled_dot", "general", "additive")
OPTIONS = [
    {"peeky": peeky, "reverse_source": reverse, "bidirectional_encoder": both, "num_layers": layers}
    for peeky, reverse, both, layers in itertools.product(
        (False, True), (False, True), (False, True), (1, 2)
    )
]
BOS, EOS = 1, 2


def make(rng: int = 0, **options: Any) -> Seq2Seq:
    return Seq2Seq(9, 8, 3, 4, rng=rng, **{"dtype": np.float64, **options})


def random_batch(rng: np.random.Generator, count: int = 4, steps: int = 5) -> tuple[Any, ...]:
    """Sources of lengths 1..steps (garbage behind them), targets with eos and padding."""
    source = rng.integers(3, 9, (count, steps))
    lengths = rng.integers(1, steps + 1, count)
    target = rng.integers(3, 8, (count, steps))
    ends = rng.integers(0, steps, count)
    target[np.arange(count), ends] = EOS
    target[np.arange(steps) > ends[:, None]] = 0
    return source, lengths, target


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(str(int(v)) for v in o.values())
)
def test_gradients_agree_with_finite_differences(
    cell: str, attention: str | None, options: dict[str, Any]
) -> None:
    rng = np.random.default_rng(7)
    model = make(cell=cell, attention=attention, **options)
    for param in model.params.values():
        param += 0.1 * rng.standard_normal(param.shape)  # biases away from their zeros
    assert_gradients(model, random_batch(rng), rng)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_where_only_h_is_handed_over(bidirectional: bool) -> None:
    rng = np.random.default_rng(8)
    options: dict[str, Any] = {"bidirectional_encoder": bidirectional, "peeky": True}
    model, whole = (make(hidden_only=only, **options) for only in (True, False))
    batch = random_batch(rng)
    assert_gradients(model, batch, rng)
    assert model.loss(*batch) != whole.loss(*batch)
    gru, whole_gru = (make(cell="gru", hidden_only=only) for only in (True, False))
    assert gru.loss(*batch) == whole_gru.loss(*batch)


def test_gradients_without_lengths() -> None:
    rng = np.random.default_rng(1)
    source, _, target = random_batch(rng)
    assert_gradients(make(attention="dot", reverse_source=True), (source, None, target), rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(str(int(v)) for v in o.values())
)
def test_a_sentence_alone_gives_what_it_gives_in_a_batch(
    options: dict[str, Any], dtype: Any
) -> None:
    rng = np.random.default_rng(3)
    model = make(attention="general", dtype=dtype, **options)
    source, lengths, _ = random_batch(rng, count=6)
    ids, weights = model.generate(source, lengths, max_length=12, return_attention=True)
    for i, length in enumerate(lengths):
        alone, alone_weights = model.generate(
            source[i : i + 1, :length], max_length=12, return_attention=True
        )
        used = alone.shape[1]
        np.testing.assert_array_equal(ids[i, :used], alone[0])
        assert not ids[i, used:].any()
        np.testing.assert_allclose(weights[i, :used, :length], alone_weights[0], rtol=1e-4)
        assert not weights[i, used:].any()
        assert not weights[i, :, length:].any()


@settings(deadline=None, max_examples=25)
@given(
    cell=st.sampled_from(list(CELLS)),
    attention=st.sampled_from(ATTENTIONS),
    options=st.sampled_from(OPTIONS),
    count=st.integers(1, 5),
    steps=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_generation_is_the_argmax_of_the_teacher_forced_logits(
    cell: str, attention: str | None, options: dict[str, Any], count: int, steps: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    model = make(seed, cell=cell, attention=attention, **options)
    source, lengths, _ = random_batch(rng, count, steps)
    ids = model.generate(source, lengths, max_length=7)
    memory = model.encoder.forward(source, lengths)
    given_tokens = np.concatenate([np.full((count, 1), BOS), ids[:, :-1]], axis=1)
    likeliest = model.decoder.forward(given_tokens, memory).argmax(axis=-1).reshape(count, -1)
    for row, wanted in zip(ids, likeliest, strict=True):
        (ends,) = np.nonzero(row == EOS)
        length = ends[0] + 1 if len(ends) else len(row)
        np.testing.assert_array_equal(row[:length], wanted[:length])
        assert not row[length:].any()


def test_attention_weights_are_those_of_the_source_as_given() -> None:
    """A model that reads backwards reports the weights of a reversed source, turned round."""
    rng = np.random.default_rng(5)
    forwards, backwards = (make(attention="dot", reverse_source=r) for r in (False, True))
    source, lengths, _ = random_batch(rng)
    turned = source.copy()
    for row, length in zip(turned, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    ids, weights = backwards.generate(source, lengths, max_length=6, return_attention=True)
    wanted_ids, wanted = forwards.generate(turned, lengths, max_length=6, return_attention=True)
    np.testing.assert_array_equal(ids, wanted_ids)
    for i, length in enumerate(lengths):
        np.testing.assert_array_equal(weights[i, :, :length], wanted[i, :, :length][:, ::-1])
    assert np.ptp(weights) > 0.01


def test_padding_counts_neither_in_the_loss_nor_in_the_gradients() -> None:
    rng = np.random.default_rng(2)
    model = make(attention="additive", peeky=True)
    source, lengths, target = random_batch(rng)
    loss = model.loss(source, lengths, target)
    model.backward()
    grads = {key: grad.copy() for key, grad in model.grads.items()}
    other = np.where(np.arange(5) < lengths[:, None], source, rng.integers(3, 9, source.shape))
    wider = np.pad(other, ((0, 0), (0, 2)))
    assert model.loss(wider, lengths, np.pad(target, ((0, 0), (0, 3)))) == pytest.approx(loss)
    model.backward()
    for key, grad in model.grads.items():
        np.testing.assert_allclose(grad, grads[key], rtol=1e-10, atol=1e-14, err_msg=key)


def test_generate_leaves_the_mode_alone_and_uses_no_dropout() -> None:
    rng = np.random.default_rng(4)
    model = make(attention="dot", dropout=0.5)
    source, lengths, _ = random_batch(rng)
    first = model.generate(source, lengths, max_length=9)
    assert model.training and model.encoder.rnn.training
    np.testing.assert_array_equal(first, model.generate(source, lengths, max_length=9))
    model.eval().generate(source, lengths)
    assert not model.training and not model.encoder.rnn.training


@pytest.mark.parametrize("bidirectional_encoder", [False, True])
def test_a_frozen_model_generates_the_same(bidirectional_encoder: bool) -> None:
    model = make(2, attention="dot", bidirectional_encoder=bidirectional_encoder)
    source, lengths = np.array([[3, 4, 5, 3], [4, 5, 0, 0]]), [4, 2]
    wanted = model.generate(source, lengths, max_length=9)
    model.freeze()
    assert model.layers["encoder.rnn"].frozen and model.layers["decoder.rnn"].frozen
    np.testing.assert_array_equal(model.generate(source, lengths, max_length=9), wanted)


def test_dropout_changes_the_loss_in_train_mode_only() -> None:
    batch = random_batch(np.random.default_rng(4))
    model = make(dropout=0.5)
    assert model.loss(*batch) != model.loss(*batch)
    model.eval()
    assert model.loss(*batch) == model.loss(*batch)


@pytest.mark.parametrize("attention", [None, "additive"])
def test_a_short_training_learns_to_reverse(attention: str | None) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(3, 9, (400, 4))
    target = np.insert(np.flip(source, axis=1), 4, EOS, axis=1)
    lengths = np.full(400, 4)
    model = Seq2Seq(9, 9, 8, 32, cell="gru", attention=attention, rng=0)
    batches = Batches(source, lengths, target, batch_size=40)
    trainer = Trainer(model, Adam(1e-2), max_grad_norm=5.0, progress=False)
    assert model.accuracy(batches) < 0.1
    history = trainer.fit(batches, epochs=15)
    assert history.losses[-1] < 0.3 * history.losses[0]
    assert model.accuracy(batches) > 0.8


def test_parameters_are_those_of_the_layers_each_once() -> None:
    model = make(attention="general")
    names = set(model.params)
    assert {"encoder.embedding.W", "decoder.rnn.Wx_l0", "decoder.attention.W"} <= names
    assert model.params["encoder.rnn.Wh_l0"] is model.encoder.rnn.params["Wh_l0"]
    assert len({id(array) for array in model.params.values()}) == len(names)
    assert model.rng is model.encoder.rnn.rng


def test_same_seed_same_parameters() -> None:
    first, second, third = make(1), make(1), make(2)
    for key, param in first.params.items():
        np.testing.assert_array_equal(param, second.params[key])
    assert (first.params["decoder.output.W"] != third.params["decoder.output.W"]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "mlp"}, "Seq2Seq: cell must be one of rnn, lstm, gru, coupled_lstm,"),
        ({"attention": "loud"}, "dot, .*additive.*, got 'loud'"),
        ({"bidirectional_encoder": True, "hidden_size": 5}, "hidden_size must be even.*got 5"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
        ({"dropout": 1.0}, r"^Seq2Seq: dropout must be in \[0, 1\), got 1.0"),
        ({"target_size": 2}, "^Seq2Seq: target_size must be at least 3, got 2"),
        (
            {"bidirectional_encoder": True, "hidden_size": "a"},
            "^Seq2Seq: hidden_size must be an integer, got 'a'",
        ),
        ({"rng": -1}, "^Seq2Seq: rng must be None, an integer from 0 or .*, got -1"),
        ({"rng": "a"}, "^Seq2Seq: rng must be None, an integer from 0 or .*, got 'a'"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Seq2Seq(
            **{"source_size": 9, "target_size": 8, "embedding_size": 3, "hidden_size": 4, **options}
        )


@pytest.mark.parametrize(
    ("source", "lengths", "target", "message"),
    [
        ([3, 4], None, [[2]], "source must have shape \\(N, T\\), got \\(2,\\)"),
        ([[3, 9]], None, [[2]], "source must be in 0..8, got 9"),
        ([[3, 4]], [3], [[2]], "lengths must be in 0..2, got 3"),
        ([[3, 4]], [-1], [[2]], "lengths must be in 0..2, got -1"),
        ([[3, 4]], [1, 1], [[2]], "lengths must have shape \\(1,\\), got \\(2,\\)"),
        ([[3, 4]], None, [[8]], "target must be in 0..7, got 8"),
        ([[3, 4]], None, [[2], [2]], "target must have shape \\(1, T\\), got \\(2, 1\\)"),
    ],
)
def test_wrong_batches(source: Any, lengths: Any, target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^Seq2Seq: {message}$"):
        make().loss(source, lengths, target)


def test_wrong_calls() -> None:
    model = make()
    with pytest.raises(TypeError, match="Seq2Seq: source must be integers, got float64"):
        model.generate([[3.0]])
    for max_length, wanted in ((0, "at least 1"), (2.5, "an integer"), ("a", "an integer")):
        message = f"^Seq2Seq: max_length must be {wanted}, got {max_length!r}$"
        with pytest.raises((ValueError, TypeError), match=message):
            model.generate([[3]], max_length=max_length)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="return_attention needs a model with attention"):
        model.generate([[3]], return_attention=True)
    with pytest.raises(ValueError, match="backward needs a forward in train mode"):
        model.backward()
    with pytest.raises(ValueError, match="has no buffers, got state"):
        model.load_buffers({"state.h": np.ones(3)})


def test_an_empty_batch_and_an_empty_source_are_ordinary() -> None:
    model = make(attention="dot", reverse_source=True)
    assert model.generate(np.empty((0, 3), np.int64)).shape[0] == 0
    ids, weights = model.generate([[0, 0]], [0], max_length=3, return_attention=True)
    assert ids.shape == (1, weights.shape[1]) and not weights.any()
