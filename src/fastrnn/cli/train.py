"""The ``fastrnn train`` command: train a translation model on a file of pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn.cli import training
from fastrnn.cli.arguments import Commands, Group, add_command, add_data, add_option, at_least
from fastrnn.cli.messages import say
from fastrnn.data import PairFile, Subset, digest_of_pairs, read_pairs, split_rows
from fastrnn.data.vocabulary import tokens_of
from fastrnn.models import Seq2Seq, Translator
from fastrnn.models.bridge import BRIDGES
from fastrnn.models.readout import READOUTS
from fastrnn.models.translator import MAX_SOURCE_LENGTH
from fastrnn.ops.attention import SCORES
from fastrnn.ops.decoding import CONTEXTS
from fastrnn.training import InverseSigmoidSampling, LinearSampling, SamplingSchedule

Pairs = Sequence[tuple[str, str]]

_DECAYS = ("constant", "linear", "inverse-sigmoid")
_OPTIONS = (
    "decoder_layers attention context readout readout_size bridge peeky hidden_only tie_embeddings"
)
_METRICS = ("valid_loss", "token_accuracy", "exact_match")


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "train", run, "train a translation model on a file of pairs")
    text = "lines of source, tab, target; a third column is ignored"
    add_option(command, "pairs PAIRS.tsv", text, Path)
    add_option(command, "-o --output FILE=model.safetensors", "file for the model", Path)
    _add_data(command.add_argument_group("data"))
    _add_model(command.add_argument_group("model"))
    training.add_options(command, batch_size=128, unit="pairs")


def _add_data(group: Group) -> None:
    add_data(group, "pairs")
    option = partial(add_option, group)
    levels = ("char", "word")
    option("--source-level", "kind of tokens in the sources", levels)
    option("--target-level", "kind of tokens in the targets", levels)
    text = "leave out pairs with more tokens on either side; the model refuses longer sources"
    option(f"--max-length N={MAX_SOURCE_LENGTH}", text, at_least(1))
    option("--stream", "read the pairs from the file batch by batch")
    option("--monitor", "metric that selects the best weights (default: valid_loss)", _METRICS)


def _add_model(group: Group) -> None:
    option = partial(add_option, group)
    training.add_cell(group, hidden=256)
    option("--layers --encoder-layers N=1", "number of recurrent layers of the encoder", int)
    text = "number of recurrent layers of the decoder (default: --layers)"
    option("--decoder-layers N", text, int)
    option("--bidirectional", "use a bidirectional encoder")
    option("--reverse", "reverse the sources")
    text = "map from the encoder's final state to the decoder's initial state"
    option("--bridge=none", text, ("none", *BRIDGES))
    option("--hidden-only", "pass h of an LSTM to the decoder, but not c")
    option("--peeky", "feed the encoder's final state to the decoder at every step")
    option("--attention=dot", "attention score function", ("none", *SCORES))
    option("--heads N=1", "heads of --attention multi_head", int)
    option("--context=output", "where the decoder uses the attention context", CONTEXTS)
    text = "how the attention context and the state are combined for the output layer"
    option("--readout=concat", text, READOUTS)
    option("--readout-size R", "output size of --readout tanh (default: --hidden)", int)
    option("--tie-embeddings", "use the target embedding in the output layer, too")
    text = "scheduled sampling: probability of feeding the decoder its own previous token"
    option("--sampling-rate P", text, float)
    text = (
        "change of the sampling rate over the epochs: linear from 0 to "
        "--sampling-rate, or inverse-sigmoid from 0 to 1"
    )
    option("--sampling-decay=constant", text, _DECAYS)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    with training.reserved_files(arguments, arguments.pairs, arguments.valid) as checkpoint:
        _train(arguments, checkpoint)


def _train(arguments: argparse.Namespace, checkpoint: Path) -> None:
    sampling = _sampling(arguments)
    levels = _levels(arguments)
    train, valid = _read(arguments, levels)
    if arguments.monitor and not len(valid):
        raise ValueError("train: --monitor needs --valid or a --valid-fraction above 0")
    translator = Translator.from_pairs(
        train,
        arguments.embedding,
        arguments.hidden,
        source_level=levels[0],
        target_level=levels[1],
        max_source_length=arguments.max_length,
        num_heads=arguments.heads,
        reverse_source=arguments.reverse,
        bidirectional_encoder=arguments.bidirectional,
        sampling_rate=0.0 if sampling else arguments.sampling_rate or 0.0,
        **training.model_options(arguments, _OPTIONS),
    )
    options: dict[str, Any] = {
        "batch_size": arguments.batch_size,
        "bucket": True,
        "stream": arguments.stream,
    }
    training.run(
        arguments,
        translator.model,
        translator.batches(train, seed=arguments.seed, **options),
        checkpoint,
        translator.save,
        data={
            "digest of the pairs": digest_of_pairs(train),
            "digest of the validation pairs": digest_of_pairs(valid),
        },
        validate=_validation(translator, valid, options) if len(valid) else None,
        metric=arguments.monitor or "valid_loss",
        sampling=sampling,
    )


def _levels(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the kinds of tokens of sources and targets."""
    own = (arguments.source_level, arguments.target_level)
    for name, level in zip(("source", "target"), own, strict=True):
        if level and (arguments.chars or arguments.words):
            raise ValueError(f"train: --{name}-level contradicts --chars and --words")
    common = "word" if arguments.words else "char"
    return own[0] or common, own[1] or common


def _sampling(arguments: argparse.Namespace) -> SamplingSchedule | None:
    """Return the schedule of the sampling rate, or None if the rate is constant."""
    rate, epochs = arguments.sampling_rate, arguments.epochs
    if arguments.sampling_decay == "linear":
        if rate is None:
            raise ValueError("train: --sampling-decay linear needs --sampling-rate")
        return LinearSampling(epochs, last=rate)
    if arguments.sampling_decay == "inverse-sigmoid":
        if rate is not None:
            raise ValueError("train: --sampling-decay inverse-sigmoid takes no --sampling-rate")
        return InverseSigmoidSampling(epochs / 2)
    return None


def _read(arguments: argparse.Namespace, levels: tuple[str, str]) -> tuple[Pairs, Pairs]:
    """Return the training pairs and the validation pairs."""
    pairs = _short_pairs(arguments.pairs, arguments, levels)
    if arguments.valid:
        return pairs, _short_pairs(arguments.valid, arguments, levels)
    if not arguments.valid_fraction:
        return pairs, []
    train, valid = split_rows(len(pairs), arguments.valid_fraction, seed=arguments.seed)
    return Subset(pairs, train), Subset(pairs, valid)


def _short_pairs(path: Path, arguments: argparse.Namespace, levels: tuple[str, str]) -> Pairs:
    """Read a file and leave out the pairs that are too long."""
    pairs: Pairs = PairFile(path) if arguments.stream else read_pairs(path)
    longest = arguments.max_length
    short = (
        all(
            len(tokens_of(side, level)) <= longest for level, side in zip(levels, pair, strict=True)
        )
        for pair in pairs
    )
    rows = np.flatnonzero(np.fromiter(short, bool, len(pairs)))
    if len(rows) == len(pairs):
        return pairs
    if not len(rows):
        raise ValueError(f"{path}: no pair has at most {longest} tokens on each side")
    left_out = len(pairs) - len(rows)
    say(f"{path}: {left_out} of {len(pairs)} pairs left out, as too long")
    return Subset(pairs, rows)


def _validation(
    translator: Translator, pairs: Pairs, options: dict[str, Any]
) -> training.Validate[Seq2Seq]:
    batches = translator.batches(pairs, shuffle=False, **options)

    def validate(model: Seq2Seq) -> dict[str, float]:
        scores = model.token_scores(batches)
        return {
            "valid_loss": scores.loss,
            "token_accuracy": scores.accuracy,
            "exact_match": model.accuracy(batches),
        }

    return validate
