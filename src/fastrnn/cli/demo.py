"""The ``fastrnn demo`` command: train a model that rewrites dates."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from fastrnn import demo
from fastrnn.cli.arguments import Commands, add_command, add_option, at_least


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "demo", run, "train an attention model that rewrites dates")
    option = partial(add_option, command)
    option("--epochs N=4", "number of epochs", at_least(1))
    option("--count N=50000", "number of dates to generate", at_least(1))
    option("--hidden H=128", "hidden size of the recurrent layers", int)
    option("--seed N=0", "seed of the random numbers", at_least(0))
    option("--rounds N=5", "number of training steps to time", at_least(1))
    option("--out-dir FOLDER=.", "folder for the model and the picture of its attention", Path)
    option("--overwrite", "replace files of their names, which is an error without it")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    same = ("epochs", "count", "seed", "rounds", "out_dir", "overwrite")
    options = {name: getattr(arguments, name) for name in same}
    demo.run(hidden_size=arguments.hidden, **options)
