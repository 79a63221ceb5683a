"""One-line messages on standard error."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from fastrnn._printable import escaped
from fastrnn.data import Vocabulary

_SHOWN = 10


class Incomplete(Exception):  # noqa: N818 - the work that was done is no error
    """A command did its work in part: its message is one line, its exit code 1."""


def say(line: str) -> None:
    """Print a line, unless standard error is closed or full: no reason to stop the work."""
    with suppress(OSError):
        print(escaped(line), file=sys.stderr)


def report(error: object) -> None:
    """Print the first line of an error."""
    say(" ".join(["fastrnn: error:", *str(error).splitlines()[:1]]))


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print the warnings of Python in the form of the command's own."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: (
        f"fastrnn: warning: {escaped(str(message))}\n"
    )
    try:
        yield
    finally:
        warnings.formatwarning = before


def warn_of_unknown(vocabulary: Vocabulary, texts: Iterable[str], what: str) -> bool:
    """Warn of tokens that the vocabulary lacks; return whether there are any."""
    unknown = vocabulary.unknown(texts)
    if unknown:
        _warn(f"the model has not seen in {what}", unknown)
    return bool(unknown)


def warn_of_missing(letters: Iterable[str]) -> None:
    """Warn of letters that no installed font has, if there are any."""
    if missing := sorted(letters):
        _warn("no installed font has", missing)


def _warn(what: str, tokens: Sequence[str]) -> None:
    more = f" and {len(tokens) - _SHOWN} more" if len(tokens) > _SHOWN else ""
    shown = " ".join(map(repr, tokens[:_SHOWN]))
    say(f"fastrnn: warning: {what}: {shown}{more}")
