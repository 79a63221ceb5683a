"""Options and training loop of ``fastrnn train`` and ``fastrnn lm train``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from fastrnn import _storage
from fastrnn._cells import CELLS
from fastrnn.cell.library import NAMES
from fastrnn.cli.arguments import Group, add_option, at_least
from fastrnn.models.base import Model
from fastrnn.models.serialization import check_writable, require_absent
from fastrnn.training import BatchSource, SamplingSchedule, Trainer
from fastrnn.training.optimizers import SGD, AdaGrad, Adam, AdamW, Momentum, Optimizer, RMSprop
from fastrnn.training.schedules import ConstantLR, CosineLR, ReduceLROnPlateau, Schedule, StepLR

M = TypeVar("M", bound=Model)
Validate = Callable[[M], Mapping[str, float]]

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, AdaGrad, RMSprop, Adam, AdamW)
}
_CELLS = (*CELLS, *(name for name in NAMES if name != "lstmp"))  # which projects h
_SCHEDULES = ("constant", "cosine", "step", "plateau")
_OF_ALL_MODELS = (
    "cell dropout embedding_dropout recurrent_dropout residual label_smoothing min_count"
)
# Options that may change on a resume, because they do not change the results.
_FREE = {
    "run", "threads", "output", "checkpoint", "checkpoint_seconds", "resume", "overwrite",
    "epochs", "patience", "pairs", "text", "valid", "stream",
}  # fmt: skip


def add_cell(group: Group, *, hidden: int) -> None:
    """Add the options of the recurrent layers."""
    option = partial(add_option, group)
    option("--cell=lstm", "recurrent cell", _CELLS)
    option(f"--hidden H={hidden}", "size of the recurrent layers", int)
    option("--embedding D=64", "size of the embeddings", int)
    text = "dropout between the recurrent layers and before the output layer"
    option("--dropout P=0.0", text, float)
    option("--embedding-dropout P", "dropout after the embeddings (default: --dropout)", float)
    option("--recurrent-dropout P=0.0", "dropout of the hidden state between time steps", float)
    option("--residual", "add the input of each layer from the third on to its output")
    text = "fraction of the target distribution spread evenly over all tokens"
    option("--label-smoothing P=0.0", text, float)


def add_options(command: argparse.ArgumentParser, *, batch_size: int, unit: str) -> None:
    """Add the options of training."""
    option = partial(add_option, command.add_argument_group("training"))
    option("--epochs N=10", "total number of epochs", at_least(1))
    option(f"--batch-size N={batch_size}", f"{unit} per batch", int)
    option("--optimizer=adam", "optimizer", _OPTIMIZERS)
    option("--lr RATE", "learning rate (default: 0.001 for adam and adamw, else 0.01)", float)
    option("--weight-decay RATE", "weight decay of --optimizer adamw (default: 0.01)", float)
    option("--clip NORM=5.0", "maximum norm of the gradients", float)
    option("--schedule=constant", "learning rate schedule", _SCHEDULES)
    text = "factor by which --schedule step and plateau multiply the rate (default: 0.5)"
    option("--decay FACTOR", text, float)
    text = (
        "epochs between decays of --schedule step, epochs without improvement before a "
        "decay of --schedule plateau (default: 1)"
    )
    option("--decay-epochs N", text, at_least(1))
    option("--patience N", "stop after N epochs without improvement", int)
    option("--seed N=0", "seed of the random numbers", at_least(0))
    option = partial(add_option, command.add_argument_group("checkpoints"))
    text = "file for the checkpoints (default: OUTPUT with the suffix .checkpoint)"
    option("--checkpoint FILE", text, Path)
    option("--checkpoint-seconds S=300.0", "seconds between checkpoints within an epoch", float)
    files = command.add_mutually_exclusive_group()
    add_option(files, "--resume", "continue from the checkpoint with the same options")
    text = "replace the model and the checkpoint of another run, which is an error without it"
    add_option(files, "--overwrite", text)


def model_options(arguments: argparse.Namespace, own: str = "") -> dict[str, Any]:
    """Return the options of both kinds of models, and those in `own`, as keyword arguments."""
    names = f"{_OF_ALL_MODELS} {own}".split()
    values = ((name, getattr(arguments, name)) for name in names)
    options = {name: None if value == "none" else value for name, value in values}
    return {**options, "num_layers": arguments.layers, "rng": arguments.seed}


@contextmanager
def reserved_files(arguments: argparse.Namespace, *inputs: Path | None) -> Iterator[Path]:
    """Reserve the output for the body; yield the path of the checkpoint.

    Raise if one cannot be written, is there without ``--resume`` and ``--overwrite``, or if another
    run is writing it.
    """
    output: Path = arguments.output
    check_writable(output)
    checkpoint: Path = arguments.checkpoint or output.with_suffix(".checkpoint")
    check_writable(checkpoint)
    files = [*filter(None, inputs), output, checkpoint]
    if len({_storage.resolved(path) for path in files}) < len(files):
        names = ", ".join(map(str, files))
        raise ValueError(f"train: input, output and checkpoint must be different, got {names}")
    with ExitStack() as stack:
        stack.enter_context(_storage.reserved(output))
        with _storage.reserved(checkpoint):
            pass  # a run that has it would be found only by the trainer, which reserves it
        if not (arguments.resume or arguments.overwrite):
            for path in (output, checkpoint):
                require_absent(path, "--resume continues its run, --overwrite replaces it")
        yield checkpoint


def run(
    arguments: argparse.Namespace,
    model: M,
    batches: BatchSource,
    checkpoint: Path,
    save: Callable[[Path], None],
    *,
    data: dict[str, str],
    validate: Validate[M] | None,
    metric: str,
    sampling: SamplingSchedule | None = None,
) -> None:
    """Train, from the checkpoint on with ``--resume``, and save the model with its best weights.

    Of a run that diverges the best weights so far are saved, too, before the error.

    `data` has the digests of the training and validation data by name.
    """
    chosen = {name: value for name, value in vars(arguments).items() if name not in _FREE}
    trainer = Trainer(
        model,
        _optimizer(arguments),
        max_grad_norm=arguments.clip,
        schedule=_schedule(arguments),
        sampling=sampling,
        patience=arguments.patience,
        keep_best=validate is not None,
        metric=metric if validate else None,
        mode="min" if metric.endswith("loss") else "max",
        checkpoint=checkpoint,
        checkpoint_seconds=arguments.checkpoint_seconds,
        settings={**chosen, **data},  # digests last: a message about an option says more
    )
    if arguments.resume:
        trainer.resume(checkpoint)
    try:
        trainer.fit(batches, epochs=arguments.epochs, validate=validate and _finite(validate))
    except FloatingPointError as error:
        done = "no epoch was finished, so no model is written"
        if trainer.history.losses and validate:
            _save(save, arguments.output, checkpoint)
            done = "the model has the weights of the best epoch before"
        elif trainer.history.losses:
            done = f"no model is written, the run so far is in {checkpoint}"
        raise FloatingPointError(f"{error}; {done}") from error
    _save(save, arguments.output, checkpoint)


def _finite(validate: Validate[M]) -> Validate[M]:
    """Make an error of a loss that is not finite, which no epoch can be better or worse than."""

    def validated(model: M) -> Mapping[str, float]:
        metrics = validate(model)
        loss = metrics["valid_loss"]
        if not math.isfinite(loss):
            raise FloatingPointError(f"train: valid_loss is {loss}; try a lower --lr or --clip")
        return metrics

    return validated


def _save(save: Callable[[Path], None], output: Path, checkpoint: Path) -> None:
    """Write the model and print its path; on an error say where the checkpoint is."""
    try:
        save(output)
    except OSError as error:
        rest = f"the run is complete in {checkpoint}, and --resume writes the model"
        raise OSError(error.errno, f"{error.strerror}; {rest}", str(output)) from error
    print(f"model written to {output}; the run so far is in {checkpoint}")


def _optimizer(arguments: argparse.Namespace) -> Optimizer:
    name = arguments.optimizer
    if arguments.weight_decay is not None and name != "adamw":
        raise ValueError(f"train: --weight-decay needs --optimizer adamw, got {name}")
    given = {option: getattr(arguments, option) for option in ("lr", "weight_decay")}
    return _OPTIMIZERS[name](**{key: value for key, value in given.items() if value is not None})


def _schedule(arguments: argparse.Namespace) -> Schedule:
    kind = arguments.schedule
    decay = 0.5 if arguments.decay is None else arguments.decay
    epochs = arguments.decay_epochs or 1
    if kind == "step":
        return StepLR(epochs, decay)
    if kind == "plateau":
        return ReduceLROnPlateau(decay, epochs - 1)
    for name in ("decay", "decay_epochs"):
        if getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            raise ValueError(f"train: --{option} needs --schedule step or plateau, got {kind}")
    return CosineLR(arguments.epochs) if kind == "cosine" else ConstantLR()
