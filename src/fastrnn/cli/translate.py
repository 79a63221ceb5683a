"""The ``fastrnn translate`` command: translate texts with a trained model."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fastrnn import _storage
from fastrnn.cli.arguments import Commands, Group, add_command, add_option, at_least
from fastrnn.cli.messages import Incomplete, report, warn_of_missing, warn_of_unknown
from fastrnn.models import Translator
from fastrnn.models.serialization import check_writable
from fastrnn.models.translator import Translation

_LINES_AT_ONCE = 64


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "translate", run, "translate texts with a trained model")
    option = partial(add_option, command)
    option("model MODEL", "model file written by `fastrnn train`", Path)
    text = "texts to translate (default: the lines of standard input)"
    command.add_argument("text", nargs="*", metavar="TEXT", help=text)
    add_search(command)
    text = "print the N best translations, each after the text's number and its score"
    option("--nbest N", text, at_least(1))
    text = "draw the attention weights of one TEXT to FILE.png, .svg or .pdf, which is replaced"
    option("--attention-plot FILE", text, Path)


def add_search(command: Group) -> None:
    """Add the options of decoding."""
    option = partial(add_option, command)
    option("--max-length N=100", "maximum number of tokens of a translation", int)
    option("--beam K=1", "beam width (1: greedy decoding)", at_least(1))
    text = "length penalty of beam search, usually 0.6 to 1 (0: none)"
    option("--length-penalty A=0", text, float)
    text = "coverage penalty of beam search, which prefers attention to all of the source (0: none)"
    option("--coverage-penalty B=0", text, float)


def search_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of decoding as keyword arguments of `Translator`."""
    penalties = {name: getattr(arguments, name) for name in ("length_penalty", "coverage_penalty")}
    for name, penalty in penalties.items():
        if penalty and arguments.beam == 1:
            option = name.replace("_", "-")
            raise ValueError(f"translate: --{option} needs a --beam of at least 2")
    return {"beam_size": arguments.beam, "max_length": arguments.max_length, **penalties}


def run(arguments: argparse.Namespace) -> None:
    """Run the command.

    A text that cannot be translated is reported with its number, and the others are translated.
    """
    options = search_options(arguments)
    if arguments.nbest and arguments.nbest > arguments.beam:
        raise ValueError(
            f"translate: --nbest must be at most --beam ({arguments.beam}), got {arguments.nbest}"
        )
    if arguments.attention_plot:
        _check_plot(arguments)
    if not arguments.text and sys.stdin is None:
        raise ValueError("translate: there is no TEXT, and standard input is closed")
    translator = Translator.load(arguments.model)
    if arguments.attention_plot:
        _draw(translator, arguments, options)
        return
    kind = "text" if arguments.text else "line"
    number, left_out, warned = 0, 0, False
    for group in _groups(arguments):
        names = [f"{kind} {number + i}" for i in range(1, len(group) + 1)]
        problems = list(map(partial(_problem, translator), group, names))
        texts = [str(text) for text, problem in zip(group, problems, strict=True) if not problem]
        warned = warned or warn_of_unknown(translator.source, texts, "sources")
        found = iter(translator.n_best(texts, n_best=arguments.nbest or 1, **options))
        for problem in problems:
            number += 1
            if problem:
                left_out += 1
                sys.stdout.flush()
                report(problem)
                _print([], number, arguments.nbest)
            else:
                _print(next(found), number, arguments.nbest)
        sys.stdout.flush()
    if left_out:
        raise Incomplete(f"translate: {left_out} of {number} {kind}s were not translated")


def _problem(translator: Translator, text: str | ValueError, name: str) -> ValueError | None:
    """Return why a text cannot be translated."""
    if isinstance(text, ValueError):
        return ValueError(f"translate: {name}: {text}")
    try:
        translator.check_source(text, name)
    except ValueError as error:
        return error
    return None


def _print(found: list[Translation], number: int, n_best: int | None) -> None:
    """Print the translations of a text; without `n_best` each text has one line."""
    if n_best is None:
        print(found[0].text if found else "")
        return
    for each in found:
        print(f"{number}\t{each.score:.4f}\t{each.text}")


def _groups(arguments: argparse.Namespace) -> Iterator[list[str | ValueError]]:
    texts = iter(arguments.text or _lines())
    # In a terminal each line is answered at once; a file is faster in batches.
    at_once = _LINES_AT_ONCE if arguments.text or not sys.stdin.isatty() else 1
    while group := list(islice(texts, at_once)):
        yield group


def _lines() -> Iterator[str | ValueError]:
    """Yield the lines of standard input, or what is wrong with one.

    A byte order mark is dropped, as from a file of pairs.
    """
    encoding = sys.stdin.encoding or "utf-8"
    for number, line in enumerate(sys.stdin.buffer):
        try:
            text = line.decode(encoding).removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            yield ValueError(f"byte 0x{line[error.start]:02x} is not {encoding} text")
        else:
            yield text if number else text.removeprefix("\ufeff")


def _check_plot(arguments: argparse.Namespace) -> None:
    if len(arguments.text) != 1 or arguments.nbest:
        raise ValueError("translate: --attention-plot takes one TEXT and no --nbest")
    check_writable(arguments.attention_plot)
    if _storage.resolved(arguments.attention_plot) == _storage.resolved(arguments.model):
        came = arguments.attention_plot
        raise ValueError(f"translate: --attention-plot must not be the model, got {came}")
    try:
        import fastrnn.plot  # noqa: F401
    except ImportError as error:
        needs = "matplotlib: pip install 'fastrnn[plot]'"
        raise ImportError(f"translate: --attention-plot needs {needs}") from error


def _draw(translator: Translator, arguments: argparse.Namespace, options: dict[str, Any]) -> None:
    """Print the translation and draw its attention weights."""
    from fastrnn.plot import fonts_for, save_attention

    (text,) = arguments.text
    warn_of_unknown(translator.source, [text], "sources")
    (found,) = translator.n_best([text], n_best=1, return_attention=True, **options)
    attention = found[0].attention
    assert attention is not None  # `return_attention` requests it
    with warnings.catch_warnings():  # matplotlib warns in several lines per letter
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        save_attention(*attention, arguments.attention_plot)
    warn_of_missing(fonts_for(attention.source + attention.target).missing)
    print(found[0].text)
