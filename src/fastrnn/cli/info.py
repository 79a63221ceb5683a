"""The ``fastrnn info`` command: print versions, backend and processor."""

from __future__ import annotations

import argparse
import platform
import warnings

import numpy as np

import fastrnn
from fastrnn.cli.arguments import Commands, add_command
from fastrnn.ops._backend import HAS_KERNELS, NO_KERNELS, choose


def add(commands: Commands) -> None:
    """Add the command."""
    add_command(commands, "info", run, "print versions, backend, instruction set and caches")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no kernels is one of the facts
        backend = choose()
    facts = {
        "fastrnn": fastrnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": backend,
        **({} if HAS_KERNELS else {"kernels": f"none: {NO_KERNELS}"}),
        **fastrnn.cpu_info(),
    }
    for name, value in facts.items():
        print(f"{name}: {value}")
