"""``fastrnn demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastrnn import demo
from fastrnn.cli.arguments import Commands, add_command, at_least


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "demo", run, "learn to rewrite dates with attention")
    command.add_argument("--epochs", type=at_least(1), default=4, help="epochs to train")
    command.add_argument("--count", type=at_least(1), default=50_000, help="number of dates")
    command.add_argument("--hidden", type=int, default=128, help="width of the layers")
    command.add_argument("--seed", type=at_least(0), default=0, help="seed of everything random")
    command.add_argument("--rounds", type=at_least(1), default=5, help="training steps to time")
    command.add_argument(
        "--out-dir", type=Path, default=Path(), help="folder for the model and the picture"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run it."""
    demo.run(
        epochs=arguments.epochs,
        count=arguments.count,
        hidden_size=arguments.hidden,
        seed=arguments.seed,
        rounds=arguments.rounds,
        out_dir=arguments.out_dir,
    )
