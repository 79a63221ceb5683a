"""What the parsers of several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Group: TypeAlias = "argparse._ActionsContainer"
Run: TypeAlias = Callable[[argparse.Namespace], None]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, like all others of the command."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, and let options stand anywhere among the texts of a command.

        argparse takes "MODEL [TEXT ...]" for complete at the first option behind MODEL.
        """
        found, rest = super().parse_known_args(args, namespace)
        texts = [action.dest for action in self._positionals._group_actions if action.nargs == "*"]
        if texts and not any(text.startswith("-") for text in rest):
            getattr(found, texts[0]).extend(rest)
            rest = []
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        self.exit(2, f"fastrnn: error: {message}\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        hidden = any(action.default is value for value in (None, False, argparse.SUPPRESS))
        return action.help if hidden else super()._get_help_string(action)


def add_command(commands: Commands, name: str, run: Run, text: str) -> Parser:
    """Add a command that calls `run`."""
    command = commands.add_parser(name, help=text, description=text, formatter_class=_HelpFormatter)
    command.set_defaults(run=run)
    command.add_argument("--threads", type=int, metavar="N", help="number of threads to use")
    return command


def at_least(least: int) -> Callable[[str], int]:
    """Return a type of arguments: integers from `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return integer


def add_output(command: Group, default: str) -> None:
    """Add -o."""
    command.add_argument(
        "-o", "--output", type=Path, default=Path(default), metavar="FILE", help="file to write"
    )


def add_level(group: Group) -> None:
    """Add --chars, --words and --min-count."""
    level = group.add_mutually_exclusive_group()
    level.add_argument("--chars", action="store_true", help="tokens are characters, as by default")
    level.add_argument("--words", action="store_true", help="tokens are words")
    group.add_argument(
        "--min-count",
        type=at_least(1),
        default=1,
        metavar="N",
        help="rarer tokens are unknown ones",
    )


def add_validation(group: Group, what: str) -> None:
    """Add --valid and --valid-fraction."""
    validation = group.add_mutually_exclusive_group()
    validation.add_argument("--valid", type=Path, metavar="FILE", help="validate on these")
    validation.add_argument(
        "--valid-fraction", type=float, default=0.1, metavar="P",
        help=f"share of the {what} held out for it; 0 for none",
    )  # fmt: skip


def add_json(command: Group) -> None:
    """Add --json."""
    command.add_argument("--json", action="store_true", help="print one JSON object")
