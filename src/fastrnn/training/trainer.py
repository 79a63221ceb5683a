"""The training loop."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import copy, deepcopy
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from fastrnn import _check as check
from fastrnn import _storage
from fastrnn.training.checkpoint import (
    Checkpoint,
    description,
    reporting_damage,
    require_same,
    rng_state,
)
from fastrnn.training.clipping import clip_grad_norm, grad_norm
from fastrnn.training.early_stopping import EarlyStopping
from fastrnn.training.history import History, select_metric
from fastrnn.training.interrupt import deferred_interrupt
from fastrnn.training.optimizers import Optimizer
from fastrnn.training.progress import EpochProgress
from fastrnn.training.protocol import BatchSource, Fingerprinted, Model, TokenCounter
from fastrnn.training.sampling import SamplingSchedule
from fastrnn.training.schedules import ConstantLR, Schedule

M = TypeVar("M", bound=Model)

_FAR_WORSE = 10  # times the loss before the first update


@dataclass
class _Position:
    """The position of a run: in `epoch` (from 0), with `batch` of its `batches` done."""

    epoch: int = 0
    batch: int = 0
    batches: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0

    @property
    def epochs(self) -> float:
        """The number of epochs done, with fractions."""
        return self.epoch + (self.batch / self.batches if self.batch else 0)

    def __str__(self) -> str:
        if self.batch == 0:
            return f"after epoch {self.epoch}"
        return f"in epoch {self.epoch + 1} after batch {self.batch} of {self.batches}"


class Trainer(Generic[M]):
    """The training loop, with progress, validation, early stopping and checkpoints.

    ::

        trainer = Trainer(model, Adam(1e-3), max_grad_norm=5.0, checkpoint="run.safetensors")
        history = trainer.fit(batches, epochs=4, validate=lambda model: {"accuracy": ...})

    Parameters
    ----------
    model : Model
        See `fastrnn.training.Model`; all of `fastrnn.models` are.
    optimizer : Optimizer
    max_grad_norm : float, optional
        Maximum norm of all gradients together; larger ones are clipped.
    schedule : Schedule, optional
        Schedule of the learning rate. Its factor is that of the optimizer's `lr` as set last,
        before the run or during it. The trainer has a copy of the schedule.
    sampling : SamplingSchedule, optional
        Schedule of the model's `sampling_rate`; without one the rate does not change.
    patience : int, optional
        Stop after this number of epochs in a row without a better monitored value. In any case the
        model has the weights of the best epoch when `fit` returns.
    keep_best : bool
        Put the weights of the best epoch into the model when `fit` returns; implied by `patience`.
    metric : str, optional
        Name of the monitored result of `validate`; the default is the training loss.
    mode : {"min", "max"}
        Whether lower or higher values are better.
    checkpoint : path-like, optional
        File written after each epoch and on Ctrl-C. `fit` replaces an existing one.
    checkpoint_seconds : float, optional
        Write the checkpoint also within an epoch, after the first batch that ends this number of
        seconds after the last checkpoint. The result does not depend on it.
    settings : mapping, optional
        Other settings that the result depends on, by name, as JSON values. A resume with different
        settings is refused.
    progress : bool
        Print a line for each epoch on standard error, on a terminal also a bar.

    Attributes
    ----------
    history : History
    """

    def __init__(
        self,
        model: M,
        optimizer: Optimizer,
        *,
        max_grad_norm: float | None = None,
        schedule: Schedule | None = None,
        sampling: SamplingSchedule | None = None,
        patience: int | None = None,
        keep_best: bool = False,
        metric: str | None = None,
        mode: str = "min",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float | None = None,
        settings: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        if max_grad_norm is not None:
            check.number("Trainer", "max_grad_norm", max_grad_norm, "positive")
        check.option("Trainer", "mode", mode, ("min", "max"))
        if sampling is not None and not hasattr(model, "sampling_rate"):
            came = type(model).__name__
            raise TypeError(f"Trainer: sampling needs a model with a sampling_rate, got {came}")
        if checkpoint is not None and not Path(checkpoint).parent.is_dir():
            raise FileNotFoundError(f"Trainer: no folder for the checkpoint {checkpoint}")
        if checkpoint_seconds is not None:
            if checkpoint is None:
                raise ValueError("Trainer: checkpoint_seconds needs a checkpoint")
            check.number("Trainer", "checkpoint_seconds", checkpoint_seconds, "at least 0")
        self.model = model
        self.optimizer = optimizer
        self.max_grad_norm = max_grad_norm
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.progress = progress
        self.history = History()
        self._schedule = deepcopy(schedule)  # what it observes is of this run
        self._sampling = sampling
        self._sampling_rate: float | None = None  # as this trainer has set it
        self._metric = metric
        self._mode = mode
        self._early = EarlyStopping(patience) if patience is not None or keep_best else None
        self._settings = dict(settings or {})
        self._at = _Position()
        self._data: dict[str, Any] = {}
        self._resumed_from: str | None = None
        self._saved_at = time.perf_counter()
        self._good: dict[str, NDArray[Any]] = {}  # weights to go back to
        self._first_loss: float | None = None  # of this trainer's run, before the first update

    def fit(
        self,
        batches: BatchSource,
        *,
        epochs: int,
        validate: Callable[[M], Mapping[str, float]] | None = None,
    ) -> History:
        """Train until `epochs` epochs are done, including those before a `resume`.

        Parameters
        ----------
        batches : BatchSource
            For example `fastrnn.data.PairBatches`.
        epochs : int
        validate : callable, optional
            Function of the model, in eval mode, after each epoch; returns numbers by name.

        Returns
        -------
        History
            Record of all epochs. The model is in eval mode. If the last training loss is more
            than 10 times that before the first update, there is a warning.

        Raises
        ------
        ValueError
            If `epochs` is negative, there are no batches (also later, from an iterator that can be
            read only once) or no such metric, or the batches or their number differ from those of
            the resumed run.
        OSError
            If the checkpoint cannot be written; the previous one stays intact. BlockingIOError if
            another run, of any process, has the same checkpoint.
        FloatingPointError
            If the run has diverged: the loss or a gradient is not finite, or, after an epoch or
            before a checkpoint, a parameter. The model has the last good weights: those of the best
            epoch, if they are kept; else those before the batch, if they are finite; else those at
            the start of the epoch. They are not written, so the last checkpoint is a good one.
        KeyboardInterrupt
            On Ctrl-C in the main thread, after the batch is finished and the checkpoint written;
            the message has its path. A second Ctrl-C does not wait.
        """
        self._check_fit(batches, epochs, validate)
        self._data = _fingerprint(batches)
        self._resumed_from = None
        self._saved_at = time.perf_counter()
        with self._reserved_checkpoint(), deferred_interrupt() as interrupt:
            try:
                while self._at.epoch < epochs and not (self._early and self._early.exhausted):
                    self._good = _copies(self.model.params)
                    self._run_epoch(batches, epochs, validate, interrupt)
            except FloatingPointError:
                self._restore_good()
                raise
            finally:
                self._good = {}
                self.model.eval()
        self._warn_if_far_worse()
        self._set_sampling_rate()  # also if there was nothing left to do
        if self._early:
            self._early.restore(self.model.params)
        return self.history

    def _reserved_checkpoint(self) -> AbstractContextManager[None]:
        """Keep other runs off the checkpoint."""
        return nullcontext() if self.checkpoint is None else _storage.reserved(self.checkpoint)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint of the current run."""
        early = self._early
        Checkpoint(
            params=self.model.params,
            buffers=self.model.buffers,
            optimizer=self.optimizer.state(self.model.params),
            best=early.weights if early else {},
            state={
                "position": asdict(self._at),
                "history": asdict(self.history),
                "rng": rng_state(self.model),
                "parts": self._parts(),
                "data": self._data,
                "learning_rate": {
                    "initial": self.optimizer.initial_lr,
                    "now": self.optimizer.lr,
                    "schedule": self._schedule.state() if self._schedule else {},
                },
                "early_stopping": early and {"monitor": self._monitor, **early.state()},
            },
        ).write(path)

    def resume(self, path: str | os.PathLike[str]) -> Trainer[M]:
        """Restore the state of a checkpoint; `fit` then continues the run.

        The result is bitwise that of an uninterrupted run. So the model, the optimizer and all
        else must be constructed with the same arguments, except for the learning rate, which comes
        from the checkpoint. If the batches have a fingerprint, as those of `fastrnn.data` do, `fit`
        refuses other data.

        Raises
        ------
        OSError
            If the file is missing or not readable.
        ValueError
            If the file is damaged, not a checkpoint, or of a run with other arguments. Nothing has
            changed then.
        """
        saved = Checkpoint.read(path)
        state = saved.state
        for name, part in self._parts().items():
            require_same(path, name, state["parts"].get(name, {}), part)
        saved.require_model(path, self.model)
        stopping = self._early and state["early_stopping"]
        if stopping:
            there, here = {"kind": stopping["monitor"]}, {"kind": self._monitor}
            require_same(path, "monitored value", there, here)
        with reporting_damage(path):
            history, at = History(**state["history"]), _Position(**state["position"])
            self._rehearse(saved)
            self.model.load_buffers(dict(saved.buffers))
        self.optimizer.load_state(saved.optimizer)
        if self._early and stopping:
            self._early.load_state(stopping, saved.best)
        rate = state["learning_rate"]
        self.optimizer.lr = rate["now"]
        if self._schedule:
            self.optimizer.lr = rate["initial"]
            self.optimizer.schedule_lr(rate["now"])
            self._schedule.load_state(rate["schedule"])
        params = self.model.params
        for key, array in saved.params.items():
            params[key][...] = array
        self.model.rng.bit_generator.state = state["rng"]
        self.history, self._at = history, at
        self._data, self._resumed_from = state["data"], os.fspath(path)
        self._first_loss = None
        return self

    def _rehearse(self, saved: Checkpoint) -> None:
        """Load into copies, so that an error changes nothing."""
        optimizer, schedule = copy(self.optimizer), copy(self._schedule or ConstantLR())
        optimizer.load_state(saved.optimizer)
        rate = saved.state["learning_rate"]
        for lr in (rate["initial"], rate["now"]):
            optimizer.lr = lr
        schedule.load_state(rate["schedule"])
        deepcopy(self.model.rng).bit_generator.state = saved.state["rng"]

    def _check_fit(self, batches: BatchSource, epochs: int, validate: object) -> None:
        at = self._at
        check.size("Trainer", "epochs", epochs, least=0)
        if len(check.batches("Trainer", batches)) == 0:
            raise ValueError("Trainer: there are no batches")
        if self._resumed_from is not None and self._data:
            require_same(self._resumed_from, "training set", self._data, _fingerprint(batches))
        if at.batch and at.batches != len(batches):
            raise ValueError(
                f"Trainer: the run stopped in an epoch of {at.batches} batches, "
                f"these are {len(batches)}"
            )
        if self._metric is not None and validate is None:
            raise ValueError(f"Trainer: metric {self._metric!r} needs a validate function")
        rate = getattr(self.model, "sampling_rate", None)
        if self._sampling_rate is not None and rate != self._sampling_rate:
            raise ValueError(
                f"Trainer: sampling_rate was set to {rate}, but the schedule `sampling` sets it"
            )

    def _run_epoch(
        self,
        batches: BatchSource,
        epochs: int,
        validate: Callable[[M], Mapping[str, float]] | None,
        interrupt: Event,
    ) -> None:
        at = self._at
        at.batches = len(batches)
        started = time.perf_counter() - at.seconds
        if at.batch == 0:
            self.model.reset()
        self.model.train()
        title = f"epoch {at.epoch + 1}/{epochs}"
        count = batches.count_tokens if isinstance(batches, TokenCounter) else None
        with EpochProgress(title, total=at.batches, done=at.batch, show=self.progress) as progress:
            for batch in islice(batches.epoch(at.epoch), at.batch, None):
                self._step(batch)
                at.seconds = time.perf_counter() - started
                tokens = count(batch) if count else 0
                progress.batch(at.loss_sum / at.batch, self.optimizer.lr, tokens)
                self._heed(interrupt)
                self._save_in_time()
            self._require_steps()
            rate = self.optimizer.lr  # before a validation that sets another
            metrics: dict[str, float] = {}
            if validate:
                self.model.eval()
                metrics = {name: float(value) for name, value in validate(self.model).items()}
                progress.metrics(metrics)
        self._end_epoch(metrics, rate, time.perf_counter() - started)
        self._save_checkpoint()
        self._heed(interrupt)

    def _step(self, batch: tuple[NDArray[Any], ...]) -> None:
        at, model = self._at, self.model
        if self._schedule:
            rate = self.optimizer.initial_lr * self._schedule.factor(at.epochs)
            self.optimizer.schedule_lr(rate)
        self._set_sampling_rate()
        loss = float(model.loss(*batch))
        self._require_finite("loss", loss)
        if at.epoch == at.batch == 0:
            self._first_loss = loss
        model.backward()
        grads = model.grads
        limit = self.max_grad_norm
        norm = grad_norm(grads) if limit is None else clip_grad_norm(grads, limit)
        self._require_finite("norm of the gradients", norm)
        self.optimizer.update(model.params, grads)
        at.batch += 1
        at.loss_sum += loss

    def _set_sampling_rate(self) -> None:
        if self._sampling:
            model: Any = self.model  # has the attribute, as the constructor checked
            model.sampling_rate = self._sampling_rate = self._sampling.rate(self._at.epochs)

    def _require_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"Trainer: the {what} is {value} in epoch {self._at.epoch + 1}, "
                f"batch {self._at.batch + 1}; try a lower learning rate or a lower max_grad_norm"
            )

    def _require_steps(self) -> None:
        """Raise unless the epoch had batches and left good parameters."""
        at = self._at
        if at.batch == 0:
            wanted = "each call of `epoch` must begin anew"
            raise ValueError(f"Trainer: epoch {at.epoch + 1} had no batches, {wanted}")
        self._require_finite_parameters()

    def _require_finite_parameters(self) -> None:
        norm = grad_norm(self.model.params)
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"Trainer: the norm of the parameters is {norm} {self._at}; try a lower learning "
                "rate or a lower max_grad_norm"
            )

    def _warn_if_far_worse(self) -> None:
        """Warn of a run that is finite, but has lost what the initial weights were worth."""
        first, losses = self._first_loss, self.history.losses
        if first and losses and losses[-1] > _FAR_WORSE * first > 0:
            now = f"the training loss is {losses[-1]:.4g} after {len(losses)} epochs"
            before = f"more than {_FAR_WORSE} times the {first:.4g} before the first update"
            advice = "try a lower learning rate"
            warnings.warn(f"Trainer: {now}, {before}; {advice}", stacklevel=3)

    def _restore_good(self) -> None:
        """Put good weights into the model: the best ones, or what there is."""
        best = self._early.weights if self._early else {}
        if not best and math.isfinite(grad_norm(self.model.params)):
            return
        params = self.model.params
        for key, weights in (best or self._good).items():
            params[key][...] = weights

    def _end_epoch(self, metrics: dict[str, float], rate: float, seconds: float) -> None:
        loss = self._at.loss_sum / self._at.batch
        value = loss if self._metric is None else select_metric(metrics, self._metric)
        less_is_better = value if self._mode == "min" else -value
        if self._schedule:
            self._schedule.observe(less_is_better)
        if self._early:
            self._early.observe(less_is_better, self.model.params)
        self.history.losses.append(loss)
        self.history.metrics.append(metrics)
        self.history.learning_rates.append(rate)
        self.history.seconds.append(seconds)
        self._at = _Position(epoch=self._at.epoch + 1)

    def _heed(self, interrupt: Event) -> None:
        """Save and stop if Ctrl-C was pressed."""
        if not interrupt.is_set():
            return
        where = "nothing was saved, because there is no checkpoint file"
        if self.checkpoint is not None:
            self._save_checkpoint()
            where = f"saved to {os.fspath(self.checkpoint)}"
        raise KeyboardInterrupt(f"stopped {self._at}; {where}")

    def _save_in_time(self) -> None:
        """Write the checkpoint if it is due within an epoch."""
        interval = self.checkpoint_seconds
        if interval is not None and time.perf_counter() - self._saved_at >= interval:
            self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        """Write the checkpoint if there is a path; an error names the last one written."""
        if self.checkpoint is None:
            return
        self._require_finite_parameters()
        try:
            self.save(self.checkpoint)
        except OSError as error:
            kept = "the previous checkpoint is intact" if Path(self.checkpoint).exists() else ""
            what = "; ".join(filter(None, [error.strerror, kept]))
            raise OSError(error.errno, what, os.fspath(self.checkpoint)) from error
        self._saved_at = time.perf_counter()

    @property
    def _monitor(self) -> str:
        return f"{self._mode} {self._metric or 'training loss'}"

    def _parts(self) -> dict[str, dict[str, Any]]:
        """Return a description of the run, which must be equal on a resume."""
        model = description(self.model)
        if self._sampling:  # the schedule sets the model's rate
            model.pop("sampling_rate", None)
        return {
            "setting": self._settings,
            "model": model,
            "optimizer": description(self.optimizer),
            "schedule": description(self._schedule or ConstantLR()),
            "sampling schedule": description(self._sampling),
            "clipping": {"max_grad_norm": self.max_grad_norm},
        }


def _fingerprint(batches: BatchSource) -> dict[str, Any]:
    return batches.fingerprint() if isinstance(batches, Fingerprinted) else {}


def _copies(params: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key: param.copy() for key, param in params.items()}
