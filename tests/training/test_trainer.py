"""The loop itself: what it learns, reports, refuses. Stopping and resuming: test_resume.py."""

from __future__ import annotations

import math
import re
import signal
import sys
import threading
from itertools import islice

import numpy as np
import pytest
from support.small_model import SmallModel

from fastrnn.data import Batches, StreamBatches
from fastrnn.models import LanguageModel, Seq2Seq
from fastrnn.training import (
    SGD,
    Adam,
    CosineLR,
    History,
    LinearSampling,
    ReduceLROnPlateau,
    StepLR,
    Trainer,
    clip_grad_norm,
    mean_loss,
)


@pytest.fixture
def batches(rng):
    x = rng.standard_normal((50, 5))
    return Batches(x, x @ rng.standard_normal((5, 3)), batch_size=8)


def params_of(model):
    return {key: param.copy() for key, param in model.params.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


def scores(*values):
    """A validate function that gives these values, one after the other."""
    remaining = iter(values)
    return lambda model: {"score": next(remaining)}


def test_is_the_loop_one_would_write(batches):
    trainer = Trainer(SmallModel(), Adam(0.01), max_grad_norm=0.7, progress=False)
    history = trainer.fit(batches, epochs=3)
    model, optimizer, losses = SmallModel(), Adam(0.01), []
    for k in range(3):
        model.reset()
        losses.append(0.0)
        for batch in batches.epoch(k):
            losses[-1] += model.loss(*batch) / len(batches)
            model.backward()
            clip_grad_norm(model.grads, 0.7)
            optimizer.update(model.params, model.grads)
    assert_same(trainer.model.params, model.params)
    assert history.losses == pytest.approx(losses, rel=1e-13)
    assert history is trainer.history and len(history) == 3
    assert history.learning_rates == [0.01] * 3
    assert history.metrics == [{}] * 3
    assert all(second > 0 for second in history.seconds)
    assert not trainer.model.training


def test_learns(batches):
    model = SmallModel()
    before = mean_loss(model, batches)
    Trainer(model, Adam(0.05), progress=False).fit(batches, epochs=15)
    assert mean_loss(model, batches) < before / 5


def test_the_best_weights_without_a_patience(batches):
    values = (3.0, 1.0, 2.0, 2.5)
    whole, stopped = (
        Trainer(SmallModel(), Adam(0.05), metric="score", keep_best=True, progress=False)
        for _ in range(2)
    )
    assert len(whole.fit(batches, epochs=4, validate=scores(*values))) == 4
    stopped.fit(batches, epochs=2, validate=scores(*values))
    assert_same(whole.model.params, stopped.model.params)


def test_epochs_are_counted_in_all(batches):
    one, two = (Trainer(SmallModel(), Adam(0.01), progress=False) for _ in range(2))
    one.fit(batches, epochs=4)
    two.fit(batches, epochs=1)
    two.fit(batches, epochs=4)
    assert_same(one.model.params, two.model.params)
    assert two.fit(batches, epochs=4).losses == one.history.losses


def test_validation(batches):
    seen = []

    def validate(model):
        seen.append((model.training, model.params["layer.W"][0, 0]))
        return {"loss": mean_loss(model, batches), "one": np.float32(1)}

    trainer = Trainer(SmallModel(), Adam(0.01), progress=False)
    history = trainer.fit(batches, epochs=3, validate=validate)
    assert [training for training, _ in seen] == [False] * 3
    assert len({value for _, value in seen}) == 3
    assert history.metric("loss")[-1] == mean_loss(trainer.model, batches)
    assert history.metric("one") == [1.0] * 3
    assert type(history.metrics[0]["one"]) is float


@pytest.mark.parametrize(
    ("mode", "values", "epochs", "best"),
    [
        ("min", [3, 2, 2.5, 2, 1], 4, 2),
        ("max", [3, 4, 1, 4, 5], 4, 2),
        ("min", [3, math.nan, 2, 5, 6], 5, 3),
        ("min", [5, 4, 3, 2, 1], 5, 5),
        ("min", [5, 4, 3, 2, 7], 5, 4),
    ],
)
def test_early_stopping(batches, mode, values, epochs, best):
    options = {"patience": 2, "metric": "score", "mode": mode, "progress": False}
    trainer = Trainer(SmallModel(), Adam(0.01), **options)
    history = trainer.fit(batches, epochs=5, validate=scores(*values))
    assert len(history) == epochs
    assert history.metric("score") == pytest.approx(values[:epochs], nan_ok=True)
    alone = SmallModel()
    Trainer(alone, Adam(0.01), progress=False).fit(batches, epochs=best)
    assert_same(trainer.model.params, alone.params)


def test_early_stopping_on_the_training_loss(batches):
    trainer = Trainer(SmallModel(), SGD(0.0), patience=3, progress=False)
    losses = trainer.fit(batches, epochs=30).losses
    best = int(np.argmin(losses))
    assert len(losses) == best + 4


def test_stays_stopped(batches):
    trainer = Trainer(SmallModel(), Adam(0.01), patience=1, metric="score", progress=False)
    trainer.fit(batches, epochs=5, validate=scores(1, 2))
    params = params_of(trainer.model)
    assert len(trainer.fit(batches, epochs=9, validate=scores())) == 2
    assert_same(trainer.model.params, params)


def test_schedule_with_each_batch(batches):
    rates = []

    class Spy(SGD):
        def update(self, params, grads):
            rates.append(self.lr)
            super().update(params, grads)

    schedule = CosineLR(2, min_factor=0.1)
    history = Trainer(SmallModel(), Spy(0.2), schedule=schedule, progress=False).fit(
        batches, epochs=3
    )
    n = len(batches)
    assert rates == pytest.approx([0.2 * schedule.factor(i / n) for i in range(3 * n)])
    assert history.learning_rates == rates[n - 1 :: n]


@pytest.mark.parametrize("rate", [0.05, 0.2 * 0.5])
def test_a_rate_that_is_set_between_two_fits_is_what_the_schedule_multiplies(batches, rate):
    """Also where it is the rate that the schedule is at."""
    trainer = Trainer(SmallModel(), SGD(0.2), schedule=StepLR(1, 0.5), progress=False)
    trainer.fit(batches, epochs=2)
    assert trainer.optimizer.lr == 0.1
    trainer.optimizer.lr = rate
    assert trainer.fit(batches, epochs=4).learning_rates == [0.2, 0.1, rate / 4, rate / 8]
    trainer.optimizer = SGD(1.0)
    assert trainer.fit(batches, epochs=5).learning_rates[-1] == 1 / 16


def test_a_rate_that_a_validation_sets(batches):
    def validate(model):
        trainer.optimizer.lr = 0.4
        return {}

    trainer = Trainer(SmallModel(), SGD(0.2), schedule=StepLR(1, 0.5), progress=False)
    history = trainer.fit(batches, epochs=3, validate=validate)
    assert history.learning_rates[1:] == [0.2, 0.1]


def test_one_schedule_for_two_runs_begins_in_each(batches):
    schedule, rates = ReduceLROnPlateau(0.5, patience=0), []
    for _ in range(2):
        trainer = Trainer(SmallModel(), SGD(0.2), schedule=schedule, metric="score", progress=False)
        history = trainer.fit(batches, epochs=3, validate=scores(1, 1, 1))
        rates.append(history.learning_rates)
    assert rates == [[0.2, 0.2, 0.1]] * 2


def test_one_optimizer_for_two_runs_begins_each_at_its_rate(batches):
    optimizer, rates = SGD(0.2), []
    for _ in range(2):
        trainer = Trainer(SmallModel(), optimizer, schedule=StepLR(1, 0.5), progress=False)
        rates.append(trainer.fit(batches, epochs=3).learning_rates)
    assert rates == [[0.2, 0.1, 0.05]] * 2


def test_a_sampling_rate_that_is_set_beside_its_schedule():
    tokens = np.full((4, 3), 4)
    batches = Batches(tokens, np.full(4, 3), tokens, batch_size=2)
    model = Seq2Seq(9, 9, 4, 4, rng=0)
    trainer = Trainer(model, SGD(0.1), sampling=LinearSampling(2), progress=False)
    model.sampling_rate = 0.1  # before the run the schedule has not set it
    trainer.fit(batches, epochs=1)
    model.sampling_rate = 0.9
    with pytest.raises(ValueError, match=r"^Trainer: sampling_rate was set to 0.9, but the sched"):
        trainer.fit(batches, epochs=2)


def test_an_optimizer_that_has_updated_something_else(batches, tmp_path):
    model, optimizer = SmallModel(), Adam(0.01)
    some = {"W": model.params["layer.W"]}
    optimizer.update(some, some)
    optimizer.update({"W": np.ones(3)}, {"W": np.ones(3)})
    whole = Trainer(model, optimizer, progress=False)
    whole.fit(batches, epochs=1)
    whole.save(tmp_path / "run")
    half = Trainer(SmallModel(seed=1), Adam(0.01), progress=False).resume(tmp_path / "run")
    for trainer in (whole, half):
        trainer.fit(batches, epochs=2)
    assert_same(whole.model.params, half.model.params)


def test_plateau_sees_the_metric(batches):
    trainer = Trainer(
        SmallModel(),
        SGD(0.2),
        schedule=ReduceLROnPlateau(0.5, patience=0),
        metric="score",
        mode="max",
        progress=False,
    )
    history = trainer.fit(batches, epochs=5, validate=scores(1, 2, 2, 1, 3))
    assert history.learning_rates == [0.2, 0.2, 0.2, 0.1, 0.05]


@pytest.mark.parametrize("call", [0, 9])
def test_nan_loss(batches, call):
    model = SmallModel()
    model.spoil_at = call
    trainer = Trainer(model, Adam(0.01), progress=False)
    whole = SmallModel()
    loop = Adam(0.01)
    for k in range(call // len(batches) + 1):
        whole.reset()
        for i, batch in enumerate(batches.epoch(k)):
            if k * len(batches) + i < call:
                whole.loss(*batch)
                whole.backward()
                loop.update(whole.params, whole.grads)
    place = f"epoch {call // 7 + 1}, batch {call % 7 + 1}"
    with pytest.raises(FloatingPointError, match=f"^Trainer: the loss is nan in {place}; "):
        trainer.fit(batches, epochs=3)
    assert_same(model.params, whole.params)
    assert trainer.optimizer.state()["step"] == call
    assert not model.training


def test_infinite_gradient(batches):
    class Exploding(SmallModel):
        def backward(self):
            super().backward()
            if self.calls == 3:
                self.grads["layer.b"][1] = np.inf

    model = Exploding()
    trainer = Trainer(model, SGD(0.01), max_grad_norm=1.0, progress=False)
    with pytest.raises(
        FloatingPointError, match=r"norm of the gradients is inf in epoch 1, batch 3"
    ):
        trainer.fit(batches, epochs=1)
    assert all(np.isfinite(param).all() for param in model.params.values())
    assert trainer.optimizer.step == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_grad_norm": 0}, "max_grad_norm must be positive, got 0"),
        ({"max_grad_norm": math.nan}, "max_grad_norm must be positive, got nan"),
        ({"mode": "best"}, "mode must be one of min, max, got 'best'"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=f"^Trainer: {message}$"):
        Trainer(SmallModel(), SGD(), **options)


def test_checkpoint_without_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^Trainer: no folder for the checkpoint .*no/a$"):
        Trainer(SmallModel(), SGD(), checkpoint=tmp_path / "no" / "a")


class Blowing(SGD):
    """Makes the parameters infinite in one of its steps."""

    def __init__(self, at):
        super().__init__(0.01)
        self._left = at

    def update(self, params, grads):
        super().update(params, grads)
        if self._left == 0:
            params["layer.W"][0] = np.inf
        self._left -= 1


def weights_after(batches, epochs):
    trainer = Trainer(SmallModel(), SGD(0.01), progress=False)
    trainer.fit(batches, epochs=epochs)
    return params_of(trainer.model)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("at", "place"),
    [
        (13, "norm of the parameters is inf in epoch 2 after batch 7 of 7"),
        (9, "loss is (nan|inf) in epoch 2, batch 4"),
    ],
)
def test_a_run_that_diverged_has_the_weights_before(batches, tmp_path, at, place):
    """Those at the start of the epoch, as the last update spoiled what was there."""
    model, path = SmallModel(), tmp_path / "run"
    trainer = Trainer(model, Blowing(at), checkpoint=path, checkpoint_seconds=99, progress=False)
    calls = []
    with pytest.raises(FloatingPointError, match=f"^Trainer: the {place}; try a lower learning"):
        trainer.fit(batches, epochs=9, validate=lambda model: calls.append(1) or {})
    assert len(calls) == len(trainer.history) == 1
    assert_same(model.params, weights_after(batches, 1))
    kept = Trainer(SmallModel(seed=3), SGD(0.01), progress=False)
    kept.optimizer = Blowing(99)
    assert_same(kept.resume(path).model.params, model.params)


def test_a_run_that_diverged_has_the_best_weights_if_they_are_kept(batches):
    trainer = Trainer(SmallModel(), Blowing(24), keep_best=True, metric="score", progress=False)
    with pytest.raises(FloatingPointError, match="in epoch 4, batch 5"):
        trainer.fit(batches, epochs=9, validate=scores(1, 0, 2))
    assert_same(trainer.model.params, weights_after(batches, 2))


def test_no_checkpoint_of_a_run_that_diverged(batches, tmp_path):
    path = tmp_path / "run"
    trainer = Trainer(
        SmallModel(), Blowing(2), checkpoint=path, checkpoint_seconds=0, progress=False
    )
    with pytest.raises(FloatingPointError, match="parameters is inf in epoch 1 after batch 3 of 7"):
        trainer.fit(batches, epochs=9)
    fresh = Trainer(SmallModel(), Blowing(99), progress=False).resume(path)
    assert all(np.isfinite(param).all() for param in fresh.model.params.values())


class Once:
    """Batches of a generator, which is exhausted after the first epoch."""

    def __init__(self, batches, epochs):
        self._batches = iter([batch for k in range(epochs) for batch in batches.epoch(k)])
        self._count = len(batches)

    def __len__(self):
        return self._count

    def epoch(self, k):
        return islice(self._batches, self._count)


def test_batches_that_can_be_read_once(batches):
    trainer = Trainer(SmallModel(), SGD(0.01), progress=False)
    with pytest.raises(ValueError, match=r"^Trainer: epoch 3 had no batches, each call of `epoch`"):
        trainer.fit(Once(batches, 2), epochs=3)
    assert_same(trainer.model.params, weights_after(batches, 2))
    trainer.fit(batches, epochs=3)
    assert_same(trainer.model.params, weights_after(batches, 3))
    message = r"^Trainer: batches must be an object with `epoch\(k\)`, .* got generator$"
    with pytest.raises(TypeError, match=message):
        trainer.fit((batch for batch in batches.epoch(0)), epochs=4)


class NoBatches:
    def __len__(self):
        return 0

    def epoch(self, k):
        return iter(())


def test_bad_fits(batches):
    trainer = Trainer(SmallModel(), SGD(), metric="score", progress=False)
    params = params_of(trainer.model)
    for data, epochs, message in [
        (batches, -1, "epochs must be at least 0, got -1"),
        (NoBatches(), 1, "there are no batches"),
        (batches, 1, "metric 'score' needs a validate function"),
    ]:
        with pytest.raises(ValueError, match=f"^Trainer: {message}$"):
            trainer.fit(data, epochs=epochs)
    assert_same(trainer.model.params, params)


def test_unknown_metric(batches):
    trainer = Trainer(SmallModel(), SGD(), metric="score", progress=False)
    with pytest.raises(ValueError, match=r"^unknown metric 'score', known: accuracy, loss$"):
        trainer.fit(batches, epochs=1, validate=lambda model: {"accuracy": 1, "loss": 2})


def test_history_without_the_metric():
    history = History(losses=[1.0], metrics=[{}])
    with pytest.raises(ValueError, match=r"^unknown metric 'a', known: none \(is there a validate"):
        history.metric("a")


def test_a_line_for_each_epoch_where_there_is_no_terminal(batches, capsys):
    trainer = Trainer(SmallModel(), Adam(0.01))
    trainer.fit(batches, epochs=2, validate=scores(0.25, 0.5))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    loss = trainer.history.losses[1]
    assert lines[1].startswith(f"epoch 2/2: loss {loss:.4f}, lr 0.01, score 0.5 (")


def test_the_pace_in_tokens(capsys):
    model = LanguageModel(6, 3, 4, rng=0)
    batches = StreamBatches(np.arange(41) % 6, batch_size=2, num_steps=4)
    Trainer(model, SGD()).fit(batches, epochs=1)
    pace = re.search(r", tokens/s (\d+)", capsys.readouterr().err)
    assert pace and int(pace[1]) > 0


def test_a_bar_on_a_terminal(batches, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trainer = Trainer(SmallModel(), Adam(0.01))
    trainer.fit(batches, epochs=1, validate=scores(0.25))
    values = f"epoch 1/1: loss {trainer.history.losses[0]:.4f}, lr 0.01"
    *_, bar, blank, line = capsys.readouterr().err.split("\r")
    assert bar.startswith(f"{values}: 100%|") and "7/7" in bar
    assert not blank.strip()
    assert line.startswith(f"{values}, score 0.25 (") and line.endswith(" s)\n")


def test_the_bar_stands_behind_the_values_as_a_narrow_terminal_cuts_the_end(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    batches = StreamBatches(np.arange(41) % 6, batch_size=2, num_steps=4)
    Trainer(LanguageModel(6, 3, 4, rng=0), SGD()).fit(batches, epochs=1)
    *_, bar, _, _ = capsys.readouterr().err.split("\r")
    assert re.match(r"epoch 1/1: loss \d\.\d{4}, lr 0\.01, tokens/s \d+: 100%\|", bar)


def test_silent(batches, capsys):
    Trainer(SmallModel(), Adam(0.01), progress=False).fit(batches, epochs=1)
    assert capsys.readouterr() == ("", "")


def test_handlers_come_back_after_an_error(batches):
    def mine(number, frame):
        raise AssertionError

    signal.signal(signal.SIGINT, mine)
    with pytest.raises(ZeroDivisionError):
        Trainer(SmallModel(), SGD(), progress=False).fit(
            batches, epochs=1, validate=lambda model: {"x": 1 / 0}
        )
    assert signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_goes_on_after_a_failed_validation(batches):
    trainer = Trainer(SmallModel(), Adam(0.01), progress=False)
    with pytest.raises(ZeroDivisionError):
        trainer.fit(batches, epochs=2, validate=lambda model: {"x": 1 / 0})
    trainer.fit(batches, epochs=2)
    whole = SmallModel()
    Trainer(whole, Adam(0.01), progress=False).fit(batches, epochs=2)
    assert_same(trainer.model.params, whole.params)


def test_in_another_thread(batches):
    trainer = Trainer(SmallModel(), Adam(0.01), progress=False)
    thread = threading.Thread(target=trainer.fit, args=(batches,), kwargs={"epochs": 2})
    thread.start()
    thread.join()
    assert len(trainer.history) == 2


def test_ignored_sigint_stays_ignored(batches):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model = SmallModel()
    model.interrupt_at = 3
    assert len(Trainer(model, Adam(0.01), progress=False).fit(batches, epochs=1)) == 1
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_run_that_ends_far_above_its_beginning_warns(batches):
    trainer = Trainer(SmallModel(), SGD(1e6), max_grad_norm=1.0, progress=False)
    wanted = (
        r"^Trainer: the training loss is [\d.e+]+ after 2 epochs, more than 10 times the [\d.]+ "
    )
    with pytest.warns(UserWarning, match=wanted) as caught:
        trainer.fit(batches, epochs=2)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("lr", [0.0, 0.01, 0.1])
def test_a_run_that_does_not_warn(lr, batches, recwarn):
    trainer = Trainer(SmallModel(), Adam(lr), progress=False)
    trainer.fit(batches, epochs=1)
    trainer.fit(batches, epochs=3)
    assert not recwarn.list
