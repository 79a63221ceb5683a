"""The ``fastrnn lm`` command: language models of plain text."""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from itertools import chain
from pathlib import Path

from fastrnn import _check as check
from fastrnn.cli import training
from fastrnn.cli.arguments import Commands, Parser, add_command, add_data, add_option, at_least
from fastrnn.cli.messages import warn_of_unknown
from fastrnn.data import digest_of_pairs, read_text
from fastrnn.models import LanguageModel, TextModel


def add(commands: Commands) -> None:
    """Add the command and its subcommands."""
    text = "train, sample from or measure a language model of plain text"
    parser = commands.add_parser("lm", help=text, description=text)
    below = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_train(add_command(below, "train", run_train, "train a language model on a text"))
    _add_sample(add_command(below, "sample", run_sample, "generate text with a language model"))
    _add_evaluate(add_command(below, "evaluate", run_evaluate, "measure a language model on text"))


def _add_train(command: Parser) -> None:
    add_option(command, "text TEXT.txt", "text file in UTF-8", Path)
    add_option(command, "-o --output FILE=lm.safetensors", "file for the model", Path)
    add_data(command.add_argument_group("data"), "text (its last lines)")
    model = command.add_argument_group("model")
    training.add_cell(model, hidden=256)
    add_option(model, "--layers N=1", "number of recurrent layers", int)
    add_option(model, "--tie-weights", "use the embedding matrix in the output layer, too")
    training.add_options(command, batch_size=32, unit="text streams")
    add_option(command, "--steps N=64", "time steps of truncated backpropagation", at_least(1))


def _add_sample(command: Parser) -> None:
    option = partial(add_option, command)
    option("model MODEL", "model file written by `fastrnn lm train`", Path)
    option("--length N=200", "number of tokens to generate", at_least(0))
    option("--start TEXT", "text to continue (default: a new line)", str)
    text = "divisor of the logits; 0 always takes the most probable token"
    option("--temperature T=1", text, float)
    option("--top-k K", "sample from the K most probable tokens", int)
    text = (
        "nucleus sampling: sample from the smallest set of tokens whose probabilities "
        "sum to at least P"
    )
    option("--top-p P", text, float)
    option("--seed N", "seed of the sampling (default: a random one)", at_least(0))


def _add_evaluate(command: Parser) -> None:
    add_option(command, "model MODEL", "model file written by `fastrnn lm train`", Path)
    add_option(command, "text TEXT.txt", "text file in UTF-8", Path)
    add_option(command, "--json", "print the results as one JSON object")


def run_train(arguments: argparse.Namespace) -> None:
    """Run ``fastrnn lm train``."""
    with training.reserved_files(arguments, arguments.text, arguments.valid) as checkpoint:
        _train(arguments, checkpoint)


def _train(arguments: argparse.Namespace, checkpoint: Path) -> None:
    train, valid = _read(arguments)
    model = TextModel.from_text(
        train,
        arguments.embedding,
        arguments.hidden,
        level="word" if arguments.words else "char",
        tie_weights=arguments.tie_weights,
        **training.model_options(arguments),
    )
    training.run(
        arguments,
        model.model,
        model.batches(train, batch_size=arguments.batch_size, num_steps=arguments.steps),
        checkpoint,
        model.save,
        data={"digest of the texts": digest_of_pairs([(train, valid)])},
        validate=_validation(model, valid) if valid else None,
        metric="valid_loss",
    )


def _read(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the training text and the validation text."""
    text = read_text(arguments.text)
    if arguments.valid:
        return text, read_text(arguments.valid)
    fraction = arguments.valid_fraction
    if not fraction:
        return text, ""
    check.probability("lm train", "--valid-fraction", fraction)
    lines = text.splitlines(keepends=True)
    held_out = max(1, round(len(lines) * fraction))
    if held_out == len(lines):
        raise ValueError(f"{arguments.text}: too few lines for a --valid-fraction of {fraction}")
    return "".join(lines[:-held_out]), "".join(lines[-held_out:])


def _validation(model: TextModel, text: str) -> training.Validate[LanguageModel]:
    batches = model.in_order(text)

    def validate(trained: LanguageModel) -> dict[str, float]:
        scores = trained.token_scores(batches)
        return {
            "valid_loss": scores.loss,
            "perplexity": scores.perplexity,
            "token_accuracy": scores.accuracy,
        }

    return validate


def run_sample(arguments: argparse.Namespace) -> None:
    """Run ``fastrnn lm sample``."""
    model = TextModel.load(arguments.model)
    start = "\n" if arguments.start is None else arguments.start
    warn_of_unknown(model.vocabulary, [start], "--start")
    pieces = model.stream(
        arguments.length,
        start=start,
        temperature=arguments.temperature,
        top_k=arguments.top_k,
        top_p=arguments.top_p,
        seed=arguments.seed,
    )
    first = next(pieces)
    if arguments.start is not None:
        words = model.vocabulary.level == "word"
        apart = words and not (start.endswith("\n") or first[:1].isspace())
        print(start, end=" " if apart else "")
    for written in chain([first], pieces):
        print(written, end="", flush=True)
    print()


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Run ``fastrnn lm evaluate``."""
    model = TextModel.load(arguments.model)
    text = read_text(arguments.text)
    warn_of_unknown(model.vocabulary, [text], "the text")
    scores = model.evaluate(text)
    bits = scores.loss / math.log(2)
    if arguments.json:
        figures = {"tokens": scores.tokens, "loss": scores.loss, "perplexity": scores.perplexity}
        print(json.dumps({**figures, "bits_per_token": bits, "token_accuracy": scores.accuracy}))
        return
    print(f"tokens          {scores.tokens}")
    print(f"perplexity      {scores.perplexity:.4g}")
    print(f"bits per token  {bits:.4g}")
    print(f"token accuracy  {scores.accuracy:.2%}")
