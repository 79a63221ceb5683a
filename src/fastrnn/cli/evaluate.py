"""The ``fastrnn evaluate`` command: measure a translation model."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fastrnn.cli.arguments import Commands, add_command, add_option
from fastrnn.cli.messages import Incomplete, warn_of_unknown
from fastrnn.cli.translate import add_search, search_options
from fastrnn.data import read_pairs
from fastrnn.models import Evaluation, Translator, evaluate

Pair = tuple[str, str]


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "evaluate", run, "measure a translation model on text pairs")
    option = partial(add_option, command)
    option("model MODEL", "model file written by `fastrnn train`", Path)
    text = "lines of source, tab, target; the targets of equal sources are all correct answers"
    option("pairs PAIRS.tsv", text, Path)
    add_search(command)
    option("--json", "print the results as one JSON object")


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    options = search_options(arguments)
    translator = Translator.load(arguments.model)
    pairs, left_out = _short(translator, read_pairs(arguments.pairs))
    if not pairs:
        wanted = f"at most {translator.max_source_length} tokens"
        raise ValueError(f"{arguments.pairs}: no pair has a source of {wanted}")
    warn_of_unknown(translator.source, (source for source, _ in pairs), "sources")
    warn_of_unknown(translator.target, (target for _, target in pairs), "targets")
    result = evaluate(translator, pairs, **options)
    _print(result, as_json=arguments.json)
    if left_out:
        of = f"{left_out} of {left_out + len(pairs)}"
        raise Incomplete(f"{arguments.pairs}: {of} pairs left out, as their sources are too long")


def _short(translator: Translator, pairs: list[Pair]) -> tuple[list[Pair], int]:
    """Return the pairs with sources that the model takes, and the number of the others."""
    split, longest = translator.source.split, translator.max_source_length
    short = [pair for pair in pairs if len(split(pair[0])) <= longest]
    return short, len(pairs) - len(short)


def _print(result: Evaluation, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(result)))
        return
    print(f"pairs               {result.pairs}")
    print(f"sources             {result.sources}")
    print(f"exact match         {result.exact_match:.2%}")
    print(f"edit-distance rate  {result.error_rate:.2%}")
    print(f"token accuracy      {result.token_accuracy:.2%}")
    print(f"perplexity          {result.perplexity:.4g}")
