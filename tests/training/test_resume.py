"""A run that was stopped ends bitwise as one that was not."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import asdict

import numpy as np
import pytest
from support.small_model import SmallModel

import fastrnn
from fastrnn import _storage
from fastrnn.data import Batches, PairBatches, StreamBatches
from fastrnn.models import LanguageModel, Seq2Seq
from fastrnn.training import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    ConstantSampling,
    CosineLR,
    LinearSampling,
    Momentum,
    ReduceLROnPlateau,
    RMSprop,
    Trainer,
    mean_loss,
)

EPOCHS, BATCHES = 6, 7
KEPT = "the previous checkpoint is intact"
SCHEDULES = {
    "none": lambda: None,
    "cosine": lambda: CosineLR(EPOCHS),
    "plateau": lambda: ReduceLROnPlateau(0.5, patience=0),
}


def make_batches(rows=50):
    rng = np.random.default_rng(5)
    x, noise = rng.standard_normal((rows, 5)), rng.standard_normal((rows, 3))
    return Batches(x, 3 * noise + x @ rng.standard_normal((5, 3)), batch_size=8, seed=9)


def make_trainer(path, optimizer=Adam, *, model=None, lr=0.03, schedule="none", **options):
    return Trainer(
        model or SmallModel(),
        optimizer(lr),
        max_grad_norm=1.0,
        schedule=SCHEDULES[schedule](),
        checkpoint=path,
        progress=False,
        **options,
    )


def fit(trainer, epochs=EPOCHS):
    batches = make_batches()
    return trainer.fit(
        batches, epochs=epochs, validate=lambda model: {"loss": mean_loss(model, batches)}
    )


def test_two_runs_do_not_share_a_checkpoint(tmp_path):
    path, link = tmp_path / "run", tmp_path / "link"
    link.symlink_to(path)
    other, trained = make_trainer(link), []

    def validate(model):
        before = {key: param.copy() for key, param in other.model.params.items()}
        with pytest.raises(BlockingIOError, match="another run is writing this file") as caught:
            fit(other)
        assert caught.value.filename == str(link)
        np.testing.assert_equal(other.model.params, before)
        assert other.model.training and other.model.calls == 0
        trained.append(model)
        return {}

    make_trainer(path).fit(make_batches(), epochs=2, validate=validate)
    assert len(trained) == 2
    fit(other.resume(path), 3)  # the first run has ended
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "run"]


def fit_with_interrupts(path, calls, *args, bit_generator=np.random.PCG64, **options):
    """Stop at each of the given calls of `loss`, and go on each time with nothing but the file."""
    done = 0
    for call in [*calls, None]:
        model = SmallModel(bit_generator=bit_generator, seed=100 if done else 0)
        trainer = make_trainer(path, *args, model=model, **options)
        if done:
            trainer.resume(path)
        if call is None:
            fit(trainer)
            return trainer
        model.interrupt_at = call - done
        with pytest.raises(KeyboardInterrupt, match=rf"saved to {path}$"):
            fit(trainer)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not model.training
        done = call + 1
    return None


def assert_same_end(one, other):
    for mine, yours in [
        (one.model.params, other.model.params),
        (one.model.buffers, other.model.buffers),
        (one.optimizer.state(), other.optimizer.state()),
    ]:
        assert mine.keys() == yours.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], yours[key])
    np.testing.assert_equal(one.model.rng.bit_generator.state, other.model.rng.bit_generator.state)
    mine, yours = asdict(one.history), asdict(other.history)
    assert len(mine.pop("seconds")) == len(yours.pop("seconds"))
    assert mine == yours


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", [SGD, Momentum, AdaGrad, RMSprop, Adam, AdamW])
def test_at_random_batches(tmp_path, optimizer, schedule):
    seed = sum(map(ord, optimizer.__name__ + schedule))
    calls = np.random.default_rng(seed).choice(EPOCHS * BATCHES, 3, replace=False)
    whole = make_trainer(None, optimizer, schedule=schedule)
    fit(whole)
    path = tmp_path / "run"
    stopped = fit_with_interrupts(path, sorted(calls.tolist()), optimizer, schedule=schedule)
    assert_same_end(stopped, whole)


@pytest.mark.parametrize("call", [0, 5, 6, 7, 13, EPOCHS * BATCHES - 1])
def test_at_the_edges_of_epochs(tmp_path, call):
    whole = make_trainer(None)
    fit(whole)
    assert_same_end(fit_with_interrupts(tmp_path / "run", [call]), whole)


def test_at_every_batch(tmp_path):
    whole = make_trainer(None)
    fit(whole)
    calls = range(EPOCHS * BATCHES)
    assert_same_end(fit_with_interrupts(tmp_path / "run", calls), whole)


@pytest.mark.parametrize("generator", ["MT19937", "PCG64DXSM", "Philox", "SFC64"])
def test_every_bit_generator(tmp_path, generator):
    bit_generator = getattr(np.random, generator)
    whole = make_trainer(None, model=SmallModel(bit_generator=bit_generator))
    fit(whole)
    stopped = fit_with_interrupts(tmp_path / "run", [10], bit_generator=bit_generator)
    assert_same_end(stopped, whole)


@pytest.mark.parametrize("call", [3, 12, 20])
def test_with_early_stopping(tmp_path, call):
    values = [3.0, 2.0, 2.5, 2.2, 1.0]

    def validate(model):
        return {"score": values[len(trainer.history)]}

    ends = []
    for interrupt_at in (None, call):
        path = tmp_path / f"run-{interrupt_at}"
        options = {"patience": 2, "metric": "score"}
        trainer = make_trainer(path, **options)
        trainer.model.interrupt_at = interrupt_at
        if interrupt_at is not None:
            with pytest.raises(KeyboardInterrupt):
                trainer.fit(make_batches(), epochs=5, validate=validate)
            trainer = make_trainer(path, **options, model=SmallModel(seed=4)).resume(path)
        trainer.fit(make_batches(), epochs=5, validate=validate)
        assert len(trainer.history) == 4
        ends.append(trainer)
    assert_same_end(*ends)
    again = make_trainer(None, **options, model=SmallModel(seed=6)).resume(path)
    again.fit(make_batches(), epochs=5, validate=validate)
    assert_same_end(again, trainer)


def test_from_the_checkpoint_of_an_epoch(tmp_path):
    path = tmp_path / "run"
    whole, half = make_trainer(None), make_trainer(path)
    fit(whole)
    fit(half, epochs=2)
    rest = make_trainer(None, model=SmallModel(seed=8)).resume(path)
    assert len(rest.history) == 2
    fit(rest)
    assert_same_end(rest, whole)


@pytest.mark.parametrize("patience", [None, 2])
def test_from_any_checkpoint_written_within_an_epoch(tmp_path, monkeypatch, patience):
    """Each is kept, as if the run had been killed after it."""
    path, kept = tmp_path / "run", []
    whole = make_trainer(None, patience=patience)
    fit(whole)
    trainer = make_trainer(path, patience=patience, checkpoint_seconds=0)
    save = trainer.save

    def save_and_keep(name):
        save(name)
        kept.append(path.read_bytes())

    monkeypatch.setattr(trainer, "save", save_and_keep)
    fit(trainer)
    assert len(kept) == EPOCHS * (BATCHES + 1)
    assert_same_end(trainer, whole)
    for content in kept[3::7]:
        path.write_bytes(content)
        rest = make_trainer(None, patience=patience, model=SmallModel(seed=8)).resume(path)
        fit(rest)
        assert_same_end(rest, whole)


def test_checkpoints_are_so_many_seconds_apart(tmp_path, monkeypatch):
    saves, clock = [], iter(np.arange(10_000) / 4)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    trainer = make_trainer(tmp_path / "run", checkpoint_seconds=2)
    monkeypatch.setattr(trainer, "save", lambda name: saves.append(str(trainer._at)))
    fit(trainer, epochs=2)
    assert "after epoch 1" in saves and "after epoch 2" in saves
    assert 3 < len(saves) < 2 * (BATCHES + 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_seconds": 5}, "checkpoint_seconds needs a checkpoint"),
        (
            {"checkpoint_seconds": -1, "checkpoint": "run"},
            "checkpoint_seconds must be at least 0, got -1",
        ),
    ],
)
def test_wrong_intervals(options, message):
    with pytest.raises(ValueError, match=f"^Trainer: {message}$"):
        Trainer(SmallModel(), SGD(), **options)


def test_interrupt_in_the_validation_is_heeded_after_it(tmp_path):
    path = tmp_path / "run"
    trainer = make_trainer(path)

    def validate(model):
        signal.raise_signal(signal.SIGINT)
        return {"loss": 1.0}

    with pytest.raises(KeyboardInterrupt, match=rf"^stopped after epoch 1; saved to {path}$"):
        trainer.fit(make_batches(), epochs=EPOCHS, validate=validate)
    assert trainer.history.metrics == [{"loss": 1.0}]
    assert len(make_trainer(None).resume(path).history) == 1


def test_second_interrupt_does_not_wait(tmp_path):
    trainer = make_trainer(tmp_path / "run")

    def validate(model):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        trainer.fit(make_batches(), epochs=1, validate=validate)
    assert not (tmp_path / "run").exists()


def test_interrupt_without_a_checkpoint(tmp_path):
    trainer = make_trainer(None)
    trainer.model.interrupt_at = 9
    with pytest.raises(
        KeyboardInterrupt,
        match=r"^stopped in epoch 2 after batch 3 of 7; nothing was saved, because there is no",
    ):
        fit(trainer)
    whole = make_trainer(None)
    fit(whole)
    fit(trainer)
    assert_same_end(trainer, whole)


def test_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    path = tmp_path / "run"
    trainer = make_trainer(path)
    fit(trainer, epochs=1)
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device; {KEPT}: '{path}'"):
        fit(trainer, epochs=2)
    assert path.read_bytes() == before


def snapshot(trainer):
    return (
        {key: param.copy() for key, param in trainer.model.params.items()},
        {key: array.copy() for key, array in trainer.optimizer.state().items()},
        trainer.model.rng.bit_generator.state,
        asdict(trainer.history),
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run"
    trainer = make_trainer(path, patience=2)
    trainer.model.interrupt_at = 10
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    return path


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            lambda: make_trainer(None, model=SmallModel(width=4)),
            r"of another model: parameter 'layer\.W' is float64 \(10, 3\) there, "
            r"float64 \(8, 3\) in the model",
        ),
        (
            lambda: make_trainer(None, model=SmallModel(dtype=np.float32)),
            r"of another model: parameter 'layer\.W' is float64 \(10, 3\) there, float32 .*",
        ),
        (lambda: make_trainer(None, SGD), "with another optimizer: Adam there, SGD here"),
        (lambda: make_trainer(None, AdamW), "with another optimizer: Adam there, AdamW here"),
        (
            lambda: make_trainer(None, schedule="cosine"),
            "with another schedule: ConstantLR there, CosineLR here",
        ),
        (
            lambda: make_trainer(None, patience=2, metric="loss", mode="max"),
            "with another monitored value: min training loss there, max loss here",
        ),
        (
            lambda: make_trainer(None, model=SmallModel(bit_generator=np.random.SFC64)),
            "with another random generator: PCG64 there, SFC64 here",
        ),
    ],
)
def test_checkpoint_of_another_run(saved, other, message):
    trainer = other()
    before = snapshot(trainer)
    with pytest.raises(ValueError, match=f"^{saved}: a checkpoint {message}$"):
        trainer.resume(saved)
    np.testing.assert_equal(snapshot(trainer), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": Adam(0.03, beta2=0.99)}, "optimizer: beta2 0.999 there, 0.99 here"),
        ({"optimizer": Adam(0.03, eps=1e-7)}, "optimizer: eps 1e-08 there, 1e-07 here"),
        ({"max_grad_norm": 2.0}, "clipping: max_grad_norm 1.0 there, 2.0 here"),
        ({"max_grad_norm": None}, "clipping: max_grad_norm 1.0 there, None here"),
        ({"schedule": CosineLR(7)}, "schedule: epochs 6 there, 7 here"),
        ({"settings": {"words": True}}, "setting: words False there, True here"),
        ({"settings": {}}, "setting: words False there, None here"),
        (
            {"settings": {"words": False, "seed": 3}},
            "setting: seed None there, 3 here",
        ),
    ],
)
def test_checkpoint_of_a_run_with_other_arguments(tmp_path, options, message):
    path = tmp_path / "run"

    def make(**options):
        common = {"max_grad_norm": 1.0, "schedule": CosineLR(6), "settings": {"words": False}}
        arguments = {"optimizer": Adam(0.03), **common, **options}
        return Trainer(SmallModel(), checkpoint=path, progress=False, **arguments)

    fit(make(), epochs=1)
    assert len(make().resume(path).history) == 1
    trainer = make(**options)
    before = snapshot(trainer)
    with pytest.raises(ValueError, match=f"^{path}: a checkpoint with another {message}$"):
        trainer.resume(path)
    np.testing.assert_equal(snapshot(trainer), before)


def test_checkpoint_of_a_model_with_another_configuration(tmp_path):
    path = tmp_path / "run"

    def make(dropout):
        model = LanguageModel(6, 3, 4, dropout=dropout, rng=0)
        return Trainer(model, Adam(), checkpoint=path, progress=False)

    make(0.1).fit(StreamBatches(np.arange(20) % 6, batch_size=2, num_steps=4), epochs=1)
    with pytest.raises(ValueError, match=r"another model: dropout 0\.1 there, 0\.2 here$"):
        make(0.2).resume(path)


def test_the_sampling_rate_is_the_schedules_affair(tmp_path):
    path = tmp_path / "run"

    def make(**options):
        model = Seq2Seq(6, 6, 3, 4, cell="rnn", rng=0)
        return Trainer(model, SGD(), checkpoint=path, progress=False, **options)

    one = make(sampling=LinearSampling(2, last=0.5))
    with fastrnn.backend("reference"):
        one.fit(PairBatches([[4], [5]], [[4], [5]], batch_size=1), epochs=1)
    assert one.model.sampling_rate > 0
    assert len(make(sampling=LinearSampling(2, last=0.5)).resume(path).history) == 1
    with pytest.raises(ValueError, match=r"sampling schedule: last 0\.5 there, 0\.4 here$"):
        make(sampling=LinearSampling(2, last=0.4)).resume(path)


def test_a_finished_run_resumed_has_its_sampling_rate(tmp_path):
    path, batches = tmp_path / "run", PairBatches([[4], [5]], [[4], [5]], batch_size=1)

    def make():
        model = Seq2Seq(6, 6, 3, 4, cell="rnn", rng=0)
        return Trainer(model, SGD(), sampling=LinearSampling(4), checkpoint=path, progress=False)

    whole, again = make(), make()
    whole.fit(batches, epochs=2)
    again.resume(path).fit(batches, epochs=2)
    assert again.model.config() == whole.model.config()
    assert whole.model.sampling_rate == 0.5


def test_checkpoint_of_another_sampling(tmp_path):
    path, model = tmp_path / "run", SmallModel()
    model.sampling_rate = 0.0
    make_trainer(None, model=model, sampling=LinearSampling(3)).save(path)
    other = SmallModel()
    other.sampling_rate = 0.0
    for sampling, here in ((None, "None"), (ConstantSampling(0.1), "ConstantSampling")):
        message = f"with another sampling schedule: LinearSampling there, {here} here"
        with pytest.raises(ValueError, match=f"^{path}: a checkpoint {message}$"):
            make_trainer(None, model=other, sampling=sampling).resume(path)


def test_checkpoint_of_an_older_fastrnn(saved):
    arrays, metadata = _storage.read(saved)
    del metadata["format"]
    _storage.write(saved, arrays, metadata)
    with pytest.raises(ValueError, match=f"^{saved}: a checkpoint of another version of fastrnn$"):
        make_trainer(None).resume(saved)


def test_model_with_other_names(saved):
    trainer = make_trainer(None)
    trainer.model.params["new"] = trainer.model.params.pop("layer.b")
    with pytest.raises(
        ValueError, match=r"'layer\.b' is float64 \(3,\) there, missing in the model"
    ):
        trainer.resume(saved)


def test_other_batches(saved):
    trainer = make_trainer(None).resume(saved)
    message = (
        f"{saved}: a checkpoint with another training set: digest of the data [0-9a-f]+ there, "
    )
    with pytest.raises(ValueError, match=f"^{message}"):
        trainer.fit(make_batches(rows=30), epochs=EPOCHS)


def test_another_number_of_batches_after_an_interrupt(tmp_path):
    trainer = make_trainer(tmp_path / "run")
    trainer.model.interrupt_at = 3
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    with pytest.raises(ValueError, match=r"^Trainer: .* an epoch of 7 batches, these are 4$"):
        trainer.fit(make_batches(rows=30), epochs=EPOCHS)


def test_without_the_early_stopping_of_before(saved):
    trainer = make_trainer(None).resume(saved)
    assert len(fit(trainer)) == EPOCHS


@pytest.mark.parametrize(
    ("metadata", "message"),
    [({"kind": "model"}, "a model, not a checkpoint"), ({}, "a file without a kind, not a chec.*")],
)
def test_file_of_another_kind(tmp_path, metadata, message):
    path = tmp_path / "model"
    _storage.write(path, {"x": np.arange(3.0)}, metadata)
    with pytest.raises(ValueError, match=f"^{path}: {message}$"):
        make_trainer(None).resume(path)


def test_truncated_checkpoint(saved):
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(ValueError, match=rf"^{saved}: truncated"):
        make_trainer(None).resume(saved)


def drop(*keys):
    """Damage the JSON: remove an entry of it."""

    def damage(arrays, state):
        *outer, last = keys
        for key in outer:
            state = state[key]
        del state[last]

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *(drop(key) for key in ("position", "history", "rng", "parts", "data", "learning_rate")),
        drop("early_stopping"),
        lambda arrays, state: state.update(parts=[]),
        drop("position", "epoch"),
        drop("history", "losses"),
        drop("parts", "optimizer"),
        drop("learning_rate", "now"),
        drop("learning_rate", "initial"),
        drop("learning_rate", "schedule", "best"),
        drop("early_stopping", "best"),
        drop("rng", "state"),
        lambda arrays, state: state["position"].update(other=1),
        lambda arrays, state: state["learning_rate"].update(now="fast"),
        lambda arrays, state: state["parts"].update(optimizer=7),
        lambda arrays, state: state.update(history=[]),
        lambda arrays, state: arrays.pop("optimizer/step"),
        lambda arrays, state: arrays.pop("optimizer/mean.layer.b"),
        lambda arrays, state: [arrays.pop(key) for key in list(arrays) if "optimizer/m" in key],
        lambda arrays, state: [arrays.pop(key) for key in list(arrays) if ".layer" in key],
        lambda arrays, state: arrays.pop("best/layer.b"),
        lambda arrays, state: [arrays.pop(key) for key in list(arrays) if "best/" in key],
        lambda arrays, state: arrays.update({"other/x": np.ones(3)}),
    ],
)
def test_damaged_checkpoint(tmp_path, damage):
    path = tmp_path / "run"
    trainer = make_trainer(path, schedule="plateau", patience=2)
    trainer.model.interrupt_at = 10
    with pytest.raises(KeyboardInterrupt):
        fit(trainer)
    arrays, metadata = _storage.read(path)
    state = json.loads(metadata["state"])
    damage(arrays, state)
    _storage.write(path, arrays, {**metadata, "state": json.dumps(state)})
    other = make_trainer(None, schedule="plateau", patience=2, model=SmallModel(seed=3), lr=0.5)
    before = snapshot(other), other.optimizer.lr
    with pytest.raises(ValueError, match=rf"^{path}: a damaged checkpoint: [^\n]+$"):
        other.resume(path)
    np.testing.assert_equal((snapshot(other), other.optimizer.lr), before)


def leaves(value, keys=()):
    """Yield the path of keys to each value that JSON holds, the containers too."""
    yield keys
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*keys, key))


def with_leaf(state, keys, value):
    """Return a copy of JSON with another value at a path of keys."""
    if not keys:
        return value
    return {**state, keys[0]: with_leaf(state[keys[0]], keys[1:], value)}


WRONG = [None, True, "x\x1b[2J\n", -1, 1.5, math.nan, -math.inf, 10**30, [], [1], {}, {"x": 1}]


@pytest.fixture(scope="module", params=["PCG64", "MT19937"])
def resumable(request, tmp_path_factory):
    """A checkpoint within an epoch, and what builds its trainer anew."""
    path = tmp_path_factory.mktemp("run") / "run"

    def make(seed):
        rng = np.random.Generator(getattr(np.random, request.param)(seed))
        model = LanguageModel(6, 3, 4, dropout=0.1, rng=rng)
        schedule = ReduceLROnPlateau(0.5, patience=0)
        options = {"checkpoint": path, "progress": False, "patience": 3, "keep_best": True}
        return Trainer(model, Adam(), schedule=schedule, settings={"x": 1}, **options)

    trainer = make(0)
    batches = StreamBatches(np.arange(42) % 6, batch_size=2, num_steps=4)
    loss, calls = trainer.model.loss, iter(range(7))

    def interrupting(*batch):
        if next(calls) == 6:
            signal.raise_signal(signal.SIGINT)
        return loss(*batch)

    trainer.model.loss = interrupting
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background: ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(batches, epochs=3)
    finally:
        signal.signal(signal.SIGINT, before)
    arrays, metadata = _storage.read(path)
    return path, make, batches, arrays, json.loads(metadata["state"])


def write_checkpoint(path, arrays, state):
    text = json.dumps(state, default=lambda array: np.asarray(array).tolist())
    _storage.write(path, arrays, {"kind": "checkpoint", "format": "2", "state": text})


def require_refused_or_sound(resumable, tmp_path, arrays, state):
    """A damaged state is refused in one line, unchanged; what is accepted can be trained."""
    _, make, batches, *_ = resumable
    path = tmp_path / "damaged"
    write_checkpoint(path, arrays, state)
    trainer = make(3)
    before = snapshot(trainer)
    try:
        trainer.resume(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: a ") and str(error).isprintable()
        np.testing.assert_equal(snapshot(trainer), before)
        return False
    try:
        trainer.fit(batches, epochs=3)
    except ValueError as error:  # of other data, which is known only here
        assert str(error).startswith(f"{path}: a checkpoint with another training set: ")
        assert str(error).isprintable()
    return True


def test_any_damage_of_the_state_is_found_on_reading(resumable, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    *_, arrays, state = resumable
    for keys in leaves(state):
        for value in WRONG:
            require_refused_or_sound(resumable, tmp_path, arrays, with_leaf(state, keys, value))


def test_any_damage_of_the_arrays_is_found_on_reading(resumable, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    *_, arrays, state = resumable
    for key, array in arrays.items():
        for other in (array[None], array.astype(np.float16), np.ones((3, 3, 3)), array.ravel()[:0]):
            if other.dtype != array.dtype or other.shape != array.shape:
                damaged = {**arrays, key: other}
                assert not require_refused_or_sound(resumable, tmp_path, damaged, state), key


@pytest.mark.parametrize("generator", ["MT19937", "Philox"])
@pytest.mark.parametrize("position", [-1, 10**9])
def test_a_generator_that_would_read_beyond_its_table(tmp_path, generator, position):
    path, bit_generator = tmp_path / "run", getattr(np.random, generator)
    make_trainer(None, model=SmallModel(bit_generator=bit_generator)).save(path)
    arrays, metadata = _storage.read(path)
    state = json.loads(metadata["state"])
    (state["rng"] if generator == "Philox" else state["rng"]["state"]).update(
        {"buffer_pos" if generator == "Philox" else "pos": position}
    )
    write_checkpoint(path, arrays, state)
    with pytest.raises(ValueError, match=f"^{path}: a damaged checkpoint: rng: the position must"):
        make_trainer(None, model=SmallModel(bit_generator=bit_generator)).resume(path)


@pytest.mark.parametrize("depth", [400, 100_000])
@pytest.mark.parametrize(
    "template", ["{}", '{{"position": {}}}', '{{"parts": {{"model": {}}}}}', '{{"rng": {}}}']
)
def test_deep_json(saved, depth, template):
    arrays, metadata = _storage.read(saved)
    state = json.loads(metadata["state"])
    for key, value in json.loads(template.format("{}")).items():
        state[key] = "here" if not value else {**state[key], "model": "here"}
    text = json.dumps(state) if template != "{}" else '"here"'
    text = text.replace('"here"', '{"x":' * depth + "1" + "}" * depth)
    _storage.write(saved, arrays, {**metadata, "state": text})
    with pytest.raises(ValueError, match=rf"^{saved}: a .*checkpoint[^\n]+$") as caught:
        make_trainer(None).resume(saved)
    assert len(str(caught.value)) < 2000


def test_escapes_of_a_file_are_printed_escaped(tmp_path):
    path = tmp_path / "run"
    make_trainer(None, SGD).save(path)
    arrays, metadata = _storage.read(path)
    _storage.write(path, arrays, {**metadata, "kind": "\x1b]0;title\x07\n"})
    with pytest.raises(ValueError, match=r"a \\x1b\]0;title\\x07\\n, not a checkpoint$"):
        make_trainer(None, SGD).resume(path)
    for key in ("params/\x1b[2J\n", "optimizer/\x1b[2J\n", "\x1b[2J\n/x"):
        _storage.write(path, {**arrays, key: np.ones(2)}, metadata)
        with pytest.raises(ValueError, match=r"\\x1b\[2J\\n") as caught:
            make_trainer(None, SGD).resume(path)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("metadata", [{}, {"state": ""}, {"state": "[]"}])
def test_checkpoint_without_its_text(tmp_path, metadata):
    path = tmp_path / "run"
    _storage.write(path, {}, {"kind": "checkpoint", "format": "2", **metadata})
    with pytest.raises(ValueError, match=rf"^{path}: a damaged checkpoint: [^\n]+$"):
        make_trainer(None).resume(path)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        make_trainer(None).resume(tmp_path / "missing")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_learning_rate_is_that_of_the_checkpoint(tmp_path, schedule):
    path = tmp_path / "run"
    whole, half = make_trainer(None, schedule=schedule), make_trainer(path, schedule=schedule)
    fit(whole)
    fit(half, epochs=4)
    other = make_trainer(None, schedule=schedule, lr=0.5, model=SmallModel(seed=7)).resume(path)
    fit(other)
    assert_same_end(other, whole)


def test_the_plateau_was_reached():
    trainer = make_trainer(None, schedule="plateau")
    assert len(set(fit(trainer).learning_rates[:4])) > 1


def test_learning_rate_set_by_hand_is_kept(tmp_path):
    path = tmp_path / "run"
    trainer = make_trainer(path)
    trainer.optimizer.lr = 0.007
    fit(trainer, epochs=1)
    assert make_trainer(None).resume(path).optimizer.lr == 0.007


def test_a_rate_set_by_hand_under_a_schedule(tmp_path):
    path = tmp_path / "run"
    whole, half = make_trainer(None, schedule="cosine"), make_trainer(path, schedule="cosine")
    for trainer in (whole, half):
        fit(trainer, epochs=2)
        trainer.optimizer.lr = 0.007
    half.save(path)
    other = make_trainer(None, schedule="cosine", model=SmallModel(seed=7)).resume(path)
    for trainer in (whole, other):
        fit(trainer)
    assert_same_end(other, whole)


def test_a_model_with_every_kind_of_randomness(tmp_path):
    """Dropout, and scheduled sampling at a rate that grows, stopped anywhere."""
    rng = np.random.default_rng(2)
    tokens = rng.integers(3, 9, (12, 4))
    batches = Batches(tokens, np.full(12, 4), tokens, batch_size=5, seed=3)

    def trainer(seed, path=None):
        dropout = {"dropout": 0.3, "recurrent_dropout": 0.2}
        model = Seq2Seq(9, 9, 4, 4, num_layers=2, attention="dot", **dropout, rng=seed)
        sampling = LinearSampling(2)
        return Trainer(model, Adam(0.01), sampling=sampling, checkpoint=path, progress=False)

    whole = trainer(0)
    whole.fit(batches, epochs=3)
    assert whole.model.sampling_rate == 1
    for stop_at in (1, 3, 5, 7):
        path = tmp_path / f"run-{stop_at}"
        stopped = trainer(0, path)
        loss = stopped.model.loss
        calls = iter(range(stop_at, -1, -1))

        def interrupting(*batch, loss=loss, calls=calls):
            if next(calls) == 0:
                signal.raise_signal(signal.SIGINT)
            return loss(*batch)

        stopped.model.loss = interrupting
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(batches, epochs=3)
        rest = trainer(7).resume(path)
        rest.fit(batches, epochs=3)
        assert_same_end(rest, whole)
