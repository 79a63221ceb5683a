from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from support.gradient_check import assert_gradients

from fastrnn._cells import CELLS
from fastrnn.data import StreamBatches
from fastrnn.models import LanguageModel
from fastrnn.training import Adam, Trainer, perplexity


def make(rng: int = 0, **options: Any) -> LanguageModel:
    return LanguageModel(7, 4, 4, rng=rng, **{"dtype": np.float64, **options})


def random_batch(rng: np.random.Generator, steps: int = 5) -> tuple[Any, Any]:
    ids = rng.integers(0, 7, (3, steps + 1))
    return ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_agree_with_finite_differences(
    cell: str, num_layers: int, tie_weights: bool
) -> None:
    rng = np.random.default_rng(5)
    model = make(cell=cell, num_layers=num_layers, tie_weights=tie_weights)
    assert_gradients(model, random_batch(rng), rng)


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 4, "residual": True, "label_smoothing": 0.1},
        {"num_layers": 2, "dropout": 0.3, "recurrent_dropout": 0.3},
        {"dropout": 0.3, "embedding_dropout": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_the_options(cell: str, options: dict[str, Any]) -> None:
    """By finite differences; what dropout draws is the same for each loss."""
    rng = np.random.default_rng(6)
    model = make(cell=cell, **options)
    state = model.rng.bit_generator.state

    def same_draws(*arguments: Any) -> float:
        model.rng.bit_generator.state = state
        return LanguageModel.loss(model, *arguments)

    model.loss = same_draws  # type: ignore[method-assign]
    assert_gradients(model, random_batch(rng), rng)


def test_in_eval_mode_the_loss_is_the_plain_one() -> None:
    batch = random_batch(np.random.default_rng(7))
    options = {"dropout": 0.3, "recurrent_dropout": 0.3, "label_smoothing": 0.2}
    model, plain = make(num_layers=2, **options), make(num_layers=2)
    assert model.eval().loss(*batch) == plain.eval().loss(*batch)
    assert model.train().loss(*batch) != plain.loss(*batch)


def test_tied_weights_are_one_parameter_also_in_a_copy() -> None:
    model = make(tie_weights=True)
    assert "output.W" not in model.params and "output.W" not in model.grads
    assert "output.W" in make().params
    twin = copy.deepcopy(model)
    batch = random_batch(np.random.default_rng(1))
    assert twin.loss(*batch) == model.loss(*batch)
    for changed in (model, twin):
        changed.reset()
        changed.params["embedding.W"][...] *= -2.0
    np.testing.assert_allclose(twin.loss(*batch), model.loss(*batch), rtol=1e-12)
    np.testing.assert_array_equal(twin.output.params["W"], twin.embedding.params["W"].T)


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_is_carried_until_reset(cell: str) -> None:
    model = make(cell=cell)
    inputs, targets = random_batch(np.random.default_rng(2), steps=8)
    whole = model.loss(inputs, targets)
    model.reset()
    halves = [model.loss(inputs[:, part], targets[:, part]) for part in (slice(4), slice(4, 8))]
    assert np.mean(halves) == pytest.approx(whole, rel=1e-12)
    model.reset()
    fresh = model.loss(inputs[:, 4:], targets[:, 4:])
    assert fresh != pytest.approx(halves[1], rel=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_buffers_carry_the_state_to_another_model(cell: str) -> None:
    model, twin = make(cell=cell), make(cell=cell)
    first, second = (random_batch(np.random.default_rng(seed)) for seed in (3, 4))
    assert model.buffers == {}
    model.loss(*first)
    twin.load_buffers(model.buffers)
    assert twin.loss(*second) == model.loss(*second)
    model.reset()
    assert model.buffers == {}
    with pytest.raises(ValueError, match="LanguageModel: buffers must be"):
        model.load_buffers({"state.x": np.ones(2)})


def test_perplexity_weighs_tokens_and_leaves_the_model_as_it_was() -> None:
    rng = np.random.default_rng(6)
    model = make(dropout=0.5)
    batches = StreamBatches(rng.integers(0, 7, 39), batch_size=2, num_steps=7)
    sizes = [targets.size for _, targets in batches.epoch(0)]
    assert sizes[-1] < sizes[0]
    model.loss(*random_batch(rng))
    carried = model.buffers["state.h"].copy()
    value = model.perplexity(batches)
    assert model.training
    np.testing.assert_array_equal(model.buffers["state.h"], carried)
    model.eval().reset()
    losses = [model.loss(*batch) for batch in batches.epoch(0)]
    assert value == pytest.approx(np.exp(np.average(losses, weights=sizes)), rel=1e-12)
    even = StreamBatches(rng.integers(0, 7, 41), batch_size=2, num_steps=5)
    assert model.perplexity(even) == pytest.approx(perplexity(model, even), rel=1e-12)


def test_a_short_training_learns_a_periodic_text() -> None:
    text = np.resize([1, 4, 2, 5, 3, 6, 0, 6], 2000)
    batches = StreamBatches(text, batch_size=10, num_steps=16)
    model = LanguageModel(7, 8, 16, num_layers=2, dropout=0.1, rng=0)
    assert model.perplexity(batches) > 5
    Trainer(model, Adam(1e-2), max_grad_norm=1.0, progress=False).fit(batches, epochs=8)
    assert model.perplexity(batches) < 1.3
    np.testing.assert_array_equal(model.sample(text[:9], 8, temperature=0.0), text[9:17])


def test_sampling_follows_temperature_seed_and_exclusion() -> None:
    model = make(dropout=0.5)
    start = [3, 1]
    np.testing.assert_array_equal(model.sample(start, 30, seed=1), model.sample(start, 30, seed=1))
    assert (model.sample(start, 30, seed=1) != model.sample(start, 30, seed=2)).any()
    greedy = model.sample(start, 30, temperature=0.0, seed=1)
    np.testing.assert_array_equal(greedy, model.sample(start, 30, temperature=1e-4, seed=2))
    kept = set(model.sample(start, 200, temperature=5.0, exclude=[0, 1, 2], seed=0).tolist())
    assert kept == {3, 4, 5, 6}
    assert model.training


def test_samples_have_the_frequencies_of_the_softmax() -> None:
    model = make()
    model.eval()
    y, _ = model.rnn(model.embedding(np.array([[2]])))
    logits = model.output(y)[0, 0] / 0.7
    wanted = np.exp(logits) / np.exp(logits).sum()
    rng = np.random.default_rng(0)
    drawn = [model.sample([2], 1, temperature=0.7, seed=rng)[0] for _ in range(3000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=7) / 3000, wanted, atol=0.03)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_sample_at_no_temperature_is_what_the_layers_find_likeliest(cell: str) -> None:
    model = LanguageModel(30, 16, 16, cell=cell, num_layers=4, residual=True, rng=3).eval()
    rng = np.random.default_rng(1)
    for param in model.params.values():
        param[...] = rng.standard_normal(param.shape)
    tokens = [3, 1, 4]
    sampled = model.sample(tokens, 12, temperature=0)
    for token in sampled:
        y, _ = model.rnn(model.embedding(np.array([tokens])))
        assert token == np.argmax(model.output(y)[0, -1])
        tokens.append(int(token))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "tree"}, "LanguageModel: cell must be one of rnn, lstm, gru, coupled_lstm,"),
        ({"tie_weights": True, "hidden_size": 5}, "tie_weights needs .*got 4 and 5"),
        ({"vocab_size": 0}, "^LanguageModel: vocab_size must be at least 1, got 0"),
        ({"hidden_size": "a"}, "^LanguageModel: hidden_size must be an integer, got 'a'"),
        ({"rng": -1}, "^LanguageModel: rng must be None, an integer from 0 or .*, got -1"),
        ({"rng": "a"}, "^LanguageModel: rng must be None, an integer from 0 or .*, got 'a'"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        LanguageModel(**{"vocab_size": 7, "embedding_size": 4, "hidden_size": 4, **options})


def test_wrong_calls() -> None:
    model = make()
    for inputs, targets, message in (
        ([1, 2], [1, 2], "inputs must have shape \\(N, T\\), got \\(2,\\)"),
        ([[1, 7]], [[1, 2]], "inputs must be in 0..6, got 7"),
        ([[1, 2]], [[1, -1]], "targets must be in 0..6, got -1"),
        ([[1, 2]], [[1]], "targets must have shape \\(1, 2\\), got \\(1, 1\\)"),
    ):
        with pytest.raises(ValueError, match=f"^LanguageModel: {message}$"):
            model.loss(inputs, targets)
    assert model.buffers == {}
    with pytest.raises(ValueError, match="backward needs a forward"):
        model.backward()
    for start, temperature, message in (
        ([], 1.0, "start must"),
        ([9], 1.0, "start must be in 0..6, got 9"),
        ([1], -1.0, r"temperature must be in \[0, inf\), got -1.0"),
        ([1], float("nan"), r"temperature must be in \[0, inf\), got nan"),
        ([1], float("inf"), r"temperature must be in \[0, inf\), got inf"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(np.array(start, np.int64), 3, temperature=temperature)
    with pytest.raises(ValueError, match="there must be at least one token to score"):
        model.perplexity(_NoBatches())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"length": -1}, ValueError, "length must be at least 0, got -1"),
        ({"length": 2.5}, TypeError, "length must be an integer, got 2.5"),
        ({"temperature": "a"}, TypeError, "temperature must be a number, got 'a'"),
        ({"exclude": [99]}, ValueError, "exclude must be in 0..6, got 99"),
        ({"exclude": [-1]}, ValueError, "exclude must be in 0..6, got -1"),
        ({"exclude": [1.0]}, TypeError, "exclude must be an integer, got 1.0"),
        ({"exclude": range(7)}, ValueError, "exclude must leave one of the 7 tokens"),
    ],
)
def test_wrong_samples(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^LanguageModel: {message}$"):
        make().sample([1], **{"length": 3, **options})


def test_a_sample_of_no_length_is_empty() -> None:
    assert make().sample([1], 0).shape == (0,)


def test_a_batch_of_another_size_needs_a_reset() -> None:
    model = make()
    inputs, targets = random_batch(np.random.default_rng(0))
    model.loss(inputs, targets)
    with pytest.raises(ValueError, match="\\(1, 2, 4\\), got \\(1, 3, 4\\)"):
        model.loss(inputs[:2], targets[:2])
    model.reset()
    model.loss(inputs[:2], targets[:2])


class _NoBatches:
    def __len__(self) -> int:
        return 0

    def epoch(self, k: int, /) -> Any:
        return iter(())


@pytest.mark.parametrize("cell", CELLS)
def test_a_frozen_model(cell, backend):
    model = make(1, cell=cell, num_layers=2, dropout=0.3)
    wanted = model.sample([1, 2], 9, seed=3)
    assert model.freeze() is model and model.rnn.frozen and not model.training
    np.testing.assert_array_equal(model.sample([1, 2], 9, seed=3), wanted)
    with pytest.raises(
        ValueError, match=r"^LanguageModel: train needs unfreeze\(\) first, frozen are rnn$"
    ):
        model.train()
    assert not model.training and not model.output.training
    assert model.unfreeze() is model and not model.rnn.frozen
    assert model.train().rnn.training


def test_a_frozen_layer_in_a_model_in_train_mode():
    model = make(1)
    wanted = model.sample([1, 2], 9, seed=3)
    model.rnn.freeze()
    np.testing.assert_array_equal(model.sample([1, 2], 9, seed=3), wanted)
    assert model.training and model.output.training and not model.rnn.training
