"""Options and training loop of ``fastrnn train`` and ``fastrnn lm train``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fastrnn._cells import CELLS
from fastrnn.cli.arguments import Group, at_least
from fastrnn.models.base import Model
from fastrnn.models.serialization import check_writable
from fastrnn.training import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BatchSource,
    ConstantLR,
    CosineLR,
    Momentum,
    Optimizer,
    ReduceLROnPlateau,
    RMSprop,
    SamplingSchedule,
    Schedule,
    StepLR,
    Trainer,
)

M = TypeVar("M", bound=Model)
Validate = Callable[[M], Mapping[str, float]]

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "adagrad": AdaGrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
_SCHEDULES = ("constant", "cosine", "step", "plateau")
# Options that may change on a resume, because they do not change the results.
_FREE = {
    "run", "threads", "output", "checkpoint", "checkpoint_seconds", "resume",
    "epochs", "patience", "pairs", "text", "valid", "stream",
}  # fmt: skip


def add_cell(group: Group, *, hidden: int) -> None:
    """Add the options of the recurrent layers."""
    option = group.add_argument
    option("--cell", choices=list(CELLS), default="lstm", help="recurrent cell")
    option("--hidden", type=int, default=hidden, metavar="H", help="size of the recurrent layers")
    option("--embedding", type=int, default=64, metavar="D", help="size of the embeddings")
    option(
        "--dropout", type=float, default=0.0, metavar="P",
        help="dropout between the recurrent layers and before the output layer",
    )  # fmt: skip
    option(
        "--embedding-dropout", type=float, metavar="P",
        help="dropout after the embeddings (default: --dropout)",
    )  # fmt: skip
    option(
        "--recurrent-dropout", type=float, default=0.0, metavar="P",
        help="dropout of the hidden state between time steps",
    )  # fmt: skip
    option(
        "--residual", action="store_true",
        help="add the input of each layer from the third on to its output",
    )  # fmt: skip
    option(
        "--label-smoothing", type=float, default=0.0, metavar="P",
        help="fraction of the target distribution spread evenly over all tokens",
    )  # fmt: skip


def add_training(command: argparse.ArgumentParser, *, batch_size: int, unit: str) -> None:
    """Add the options of training."""
    option = command.add_argument_group("training").add_argument
    option("--epochs", type=at_least(1), default=10, metavar="N", help="total number of epochs")
    option("--batch-size", type=int, default=batch_size, metavar="N", help=f"{unit} per batch")
    option("--optimizer", choices=list(_OPTIMIZERS), default="adam", help="optimizer")
    option(
        "--lr", type=float, metavar="RATE",
        help="learning rate (default: 0.001 for adam and adamw, else 0.01)",
    )  # fmt: skip
    option(
        "--weight-decay", type=float, metavar="RATE",
        help="weight decay of --optimizer adamw (default: 0.01)",
    )  # fmt: skip
    option("--clip", type=float, default=5.0, metavar="NORM", help="maximum norm of the gradients")
    option("--schedule", choices=_SCHEDULES, default="constant", help="learning rate schedule")
    option(
        "--decay", type=float, metavar="FACTOR",
        help="factor by which --schedule step and plateau multiply the rate (default: 0.5)",
    )  # fmt: skip
    option(
        "--decay-epochs", type=at_least(1), metavar="N",
        help="epochs between decays of --schedule step, epochs without improvement before a "
        "decay of --schedule plateau (default: 1)",
    )  # fmt: skip
    option("--patience", type=int, metavar="N", help="stop after N epochs without improvement")
    option("--seed", type=at_least(0), default=0, metavar="N", help="seed of the random numbers")
    option = command.add_argument_group("checkpoints").add_argument
    option(
        "--checkpoint", type=Path, metavar="FILE",
        help="file for the checkpoints (default: OUTPUT with the suffix .checkpoint)",
    )  # fmt: skip
    option(
        "--checkpoint-seconds", type=float, default=300.0, metavar="S",
        help="seconds between checkpoints within an epoch",
    )  # fmt: skip
    option(
        "--resume", action="store_true", help="continue from the checkpoint with the same options"
    )


def checkpoint_path(arguments: argparse.Namespace, *inputs: Path | None) -> Path:
    """Return the path of the checkpoint; raise if it or the output cannot be written."""
    output: Path = arguments.output
    check_writable(output)
    checkpoint: Path = arguments.checkpoint or output.with_suffix(".checkpoint")
    check_writable(checkpoint)
    files = [*filter(None, inputs), output, checkpoint]
    if len({path.resolve() for path in files}) < len(files):
        names = ", ".join(map(str, files))
        raise ValueError(f"train: input, output and checkpoint must be different, got {names}")
    return checkpoint


def run_training(
    arguments: argparse.Namespace,
    model: M,
    batches: BatchSource,
    checkpoint: Path,
    *,
    data: dict[str, str],
    validate: Validate[M] | None,
    metric: str,
    sampling: SamplingSchedule | None = None,
) -> None:
    """Train, from the checkpoint on with ``--resume``, and leave the best weights in the model.

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
    trainer.fit(batches, epochs=arguments.epochs, validate=validate)


def save_model(save: Callable[[Path], None], output: Path, checkpoint: Path) -> None:
    """Write the model and print its path; on an error say where the checkpoint is."""
    try:
        save(output)
    except OSError as error:
        rest = f"the run is complete in {checkpoint}, and --resume writes the model"
        raise OSError(error.errno, f"{error.strerror}; {rest}", str(output)) from error
    print(f"model written to {output}; the run so far is in {checkpoint}")


def _optimizer(arguments: argparse.Namespace) -> Optimizer:
    options: dict[str, Any] = {}
    if arguments.lr is not None:
        options["lr"] = arguments.lr
    if arguments.weight_decay is not None:
        if arguments.optimizer != "adamw":
            raise ValueError(
                f"train: --weight-decay needs --optimizer adamw, got {arguments.optimizer}"
            )
        options["weight_decay"] = arguments.weight_decay
    return _OPTIMIZERS[arguments.optimizer](**options)


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
