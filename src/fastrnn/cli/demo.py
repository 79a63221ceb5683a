"""The ``fastrnn demo`` command: train a model that rewrites dates."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastrnn import demo
from fastrnn.cli.arguments import Commands, add_command, at_least


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "demo", run, "train an attention model that rewrites dates")
    option = command.add_argument
    option("--epochs", type=at_least(1), default=4, help="number of epochs")
    option("--count", type=at_least(1), default=50_000, help="number of dates to generate")
    option("--hidden", type=int, default=128, help="hidden size of the recurrent layers")
    option("--seed", type=at_least(0), default=0, help="seed of the random numbers")
    option("--rounds", type=at_least(1), default=5, help="number of training steps to time")
    option(
        "--out-dir", type=Path, default=Path(),
        help="folder for the model and the picture of its attention",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    demo.run(
        epochs=arguments.epochs,
        count=arguments.count,
        hidden_size=arguments.hidden,
        seed=arguments.seed,
        rounds=arguments.rounds,
        out_dir=arguments.out_dir,
    )
