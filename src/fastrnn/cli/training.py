"""What the two commands that train have in common: their options, and the run."""

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
# Options that a run may change when it goes on, as they do not decide where it leads.
_FREE = {
    "run", "threads", "output", "checkpoint", "checkpoint_seconds", "resume",
    "epochs", "patience", "pairs", "text", "valid", "stream",
}  # fmt: skip


def add_cell(group: Group, *, hidden: int) -> None:
    """Add the options of the recurrent layers of any model."""
    group.add_argument("--cell", choices=list(CELLS), default="lstm", help="recurrent cell")
    group.add_argument(
        "--hidden", type=int, default=hidden, metavar="H", help="width of the recurrent layers"
    )
    group.add_argument(
        "--embedding", type=int, default=64, metavar="D", help="width of the embeddings"
    )
    group.add_argument("--dropout", type=float, default=0.0, metavar="P", help="between the layers")
    group.add_argument(
        "--embedding-dropout", type=float, metavar="P",
        help="after the embeddings (default: --dropout)",
    )  # fmt: skip
    group.add_argument(
        "--recurrent-dropout", type=float, default=0.0, metavar="P",
        help="on the state that goes from step to step",
    )  # fmt: skip
    group.add_argument(
        "--residual", action="store_true",
        help="from the third layer on, add a layer's input to its output",
    )  # fmt: skip
    group.add_argument(
        "--label-smoothing", type=float, default=0.0, metavar="P",
        help="share of the target spread over all tokens",
    )  # fmt: skip


def add_training(command: argparse.ArgumentParser, *, batch_size: int, unit: str) -> None:
    """Add the options of the run."""
    group = command.add_argument_group("training")
    group.add_argument(
        "--epochs", type=at_least(1), default=10, metavar="N", help="epochs to train in all"
    )
    group.add_argument(
        "--batch-size", type=int, default=batch_size, metavar="N", help=f"{unit} in a batch"
    )
    group.add_argument(
        "--optimizer", choices=list(_OPTIMIZERS), default="adam", help="rule of the updates"
    )
    group.add_argument(
        "--lr",
        type=float,
        metavar="RATE",
        help="learning rate (default: 0.001 of adam and adamw, else 0.01)",
    )
    group.add_argument(
        "--weight-decay", type=float, metavar="RATE", help="of adamw (default: 0.01)"
    )
    group.add_argument(
        "--clip", type=float, default=5.0, metavar="NORM", help="largest norm of the gradients"
    )
    group.add_argument(
        "--schedule", choices=_SCHEDULES, default="constant", help="of the learning rate"
    )
    group.add_argument(
        "--decay", type=float, metavar="FACTOR", help="of step and plateau (default: 0.5)"
    )
    group.add_argument(
        "--decay-epochs", type=at_least(1), metavar="N",
        help="step: decay after each N; plateau: after N without improvement (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--patience", type=int, metavar="N", help="stop after N epochs without improvement"
    )
    group.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="seed of everything random"
    )
    group = command.add_argument_group("stopping and going on")
    group.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="default: OUTPUT, ending in .checkpoint"
    )
    group.add_argument(
        "--checkpoint-seconds", type=float, default=300.0, metavar="S",
        help="write it so often within an epoch, too",
    )  # fmt: skip
    group.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint, with the same options"
    )


def checkpoint_path(arguments: argparse.Namespace, *inputs: Path | None) -> Path:
    """Path of the checkpoint, once it is sure that this and the output can be written."""
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
    """Train, from the checkpoint on if wanted; the model is then as good as it was at its best.

    `data` names the digests of what is trained and validated on.
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
        settings={**chosen, **data},  # digests last: an option says more
    )
    if arguments.resume:
        trainer.resume(checkpoint)
    trainer.fit(batches, epochs=arguments.epochs, validate=validate)


def save_model(save: Callable[[Path], None], output: Path, checkpoint: Path) -> None:
    """Write the model, and say where it is, or that nothing is lost."""
    try:
        save(output)
    except OSError as error:
        rest = f"the run is whole in {checkpoint}, and --resume writes the model"
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
