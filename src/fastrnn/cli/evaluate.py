"""The ``fastrnn evaluate`` command: measure a translation model."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fastrnn.cli.arguments import Commands, add_command, add_option
from fastrnn.cli.messages import warn_of_unknown
from fastrnn.cli.translate import add_search, search_options
from fastrnn.data import read_pairs
from fastrnn.models import Translator, evaluate


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
    pairs = read_pairs(arguments.pairs)
    warn_of_unknown(translator.source, (source for source, _ in pairs), "sources")
    warn_of_unknown(translator.target, (target for _, target in pairs), "targets")
    result = evaluate(translator, pairs, **options)
    if arguments.json:
        print(json.dumps(asdict(result)))
        return
    print(f"pairs               {result.pairs}")
    print(f"sources             {result.sources}")
    print(f"exact match         {result.exact_match:.2%}")
    print(f"edit-distance rate  {result.error_rate:.2%}")
    print(f"token accuracy      {result.token_accuracy:.2%}")
    print(f"perplexity          {result.perplexity:.4g}")
