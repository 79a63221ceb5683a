"""Options and helpers that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Group: TypeAlias = "argparse._ActionsContainer"
Kind: TypeAlias = "Callable[[str], object] | Collection[str]"
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
    add_option(command, "--threads N", "number of threads", int)
    return command


def add_option(group: Group, usage: str, text: str, kind: Kind | None = None) -> None:
    """Add an option such as ``"--beam K=1"``, or an argument such as ``"model MODEL"``.

    Parameters
    ----------
    group : Group
    usage : str
        Names, a word for the value and the default; choices have no such word.
    text : str
        Help text.
    kind : callable or collection of str, optional
        Type of the value, or the values to choose from; None for a switch.
    """
    usage, _, default = usage.partition("=")
    if kind is None:
        group.add_argument(usage, help=text, action="store_true")
    elif callable(kind):
        *names, metavar = usage.split()
        group.add_argument(*names, help=text, metavar=metavar, type=kind, default=default or None)
    else:
        group.add_argument(usage, help=text, choices=list(kind), default=default or None)


def at_least(least: int) -> Callable[[str], int]:
    """Return an argument type: integers of at least `least`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return integer


def add_data(group: Group, what: str) -> None:
    """Add the options of tokens and those of the validation on a part of `what`."""
    level = group.add_mutually_exclusive_group()
    add_option(level, "--chars", "tokens are characters (the default)")
    add_option(level, "--words", "tokens are words")
    text = "replace tokens that occur fewer than N times by the unknown token"
    add_option(group, "--min-count N=1", text, at_least(1))
    validation = group.add_mutually_exclusive_group()
    add_option(validation, "--valid FILE", "file to validate on", Path)
    text = f"fraction of the {what} held out for validation (0: none)"
    add_option(validation, "--valid-fraction P=0.1", text, float)
