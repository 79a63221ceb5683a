"""Options and helpers that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Group: TypeAlias = "argparse._ActionsContainer"
Run: TypeAlias = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose error messages are one line."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the arguments; options may stand between the texts of a command.

        argparse considers "MODEL [TEXT ...]" complete at the first option after MODEL.
        """
        found, rest = super().parse_known_args(args, namespace)
        texts = [action.dest for action in self._positionals._group_actions if action.nargs == "*"]
        if texts and not any(text.startswith("-") for text in rest):
            getattr(found, texts[0]).extend(rest)
            rest = []
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print the message and exit."""
        self.exit(2, f"fastrnn: error: {message}\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the defaults that are neither None nor False."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        hidden = any(action.default is value for value in (None, False, argparse.SUPPRESS))
        return action.help if hidden else super()._get_help_string(action)


def add_command(commands: Commands, name: str, run: Run, text: str) -> Parser:
    """Add a subcommand that calls `run`."""
    command = commands.add_parser(name, help=text, description=text, formatter_class=_HelpFormatter)
    command.set_defaults(run=run)
    command.add_argument("--threads", type=int, metavar="N", help="number of threads")
    return command


def at_least(least: int) -> Callable[[str], int]:
    """Return an argument type: integers of at least `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return integer


def add_output(command: Group, default: str) -> None:
    """Add ``--output``."""
    command.add_argument(
        "-o", "--output", type=Path, default=Path(default), metavar="FILE",
        help="file for the model",
    )  # fmt: skip


def add_level(group: Group) -> None:
    """Add ``--chars``, ``--words`` and ``--min-count``."""
    level = group.add_mutually_exclusive_group()
    level.add_argument("--chars", action="store_true", help="tokens are characters (the default)")
    level.add_argument("--words", action="store_true", help="tokens are words")
    group.add_argument(
        "--min-count", type=at_least(1), default=1, metavar="N",
        help="replace tokens that occur fewer than N times by the unknown token",
    )  # fmt: skip


def add_validation(group: Group, what: str) -> None:
    """Add ``--valid`` and ``--valid-fraction``."""
    validation = group.add_mutually_exclusive_group()
    validation.add_argument("--valid", type=Path, metavar="FILE", help="file to validate on")
    validation.add_argument(
        "--valid-fraction", type=float, default=0.1, metavar="P",
        help=f"fraction of the {what} held out for validation (0: none)",
    )  # fmt: skip


def add_json(command: Group) -> None:
    """Add ``--json``."""
    command.add_argument("--json", action="store_true", help="print the results as one JSON object")
