"""The ``fastrnn train`` command: train a translation model on a file of pairs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn.cli.arguments import (
    Commands,
    Group,
    add_command,
    add_level,
    add_output,
    add_validation,
    at_least,
)
from fastrnn.cli.training import (
    Validate,
    add_cell,
    add_training,
    checkpoint_path,
    run_training,
    save_model,
)
from fastrnn.data import PairFile, Subset, digest_of_pairs, read_pairs, split_rows
from fastrnn.models import Seq2Seq, Translator
from fastrnn.models.bridge import BRIDGES
from fastrnn.models.readout import READOUTS
from fastrnn.models.translator import MAX_SOURCE_LENGTH
from fastrnn.ops.attention import SCORES
from fastrnn.ops.decoding import CONTEXTS
from fastrnn.training import InverseSigmoidSampling, LinearSampling, SamplingSchedule

Pairs = Sequence[tuple[str, str]]

_DECAYS = ("constant", "linear", "inverse-sigmoid")
_METRICS = ("valid_loss", "token_accuracy", "exact_match")


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(commands, "train", run, "train a translation model on a file of pairs")
    command.add_argument(
        "pairs", type=Path, metavar="PAIRS.tsv",
        help="lines of source, tab, target; a third column is ignored",
    )  # fmt: skip
    add_output(command, "model.safetensors")
    _add_data(command.add_argument_group("data"))
    _add_model(command.add_argument_group("model"))
    add_training(command, batch_size=128, unit="pairs")


def _add_data(group: Group) -> None:
    option = group.add_argument
    add_level(group)
    levels = ("char", "word")
    option("--source-level", choices=levels, help="kind of tokens in the sources")
    option("--target-level", choices=levels, help="kind of tokens in the targets")
    option(
        "--max-length", type=at_least(1), default=MAX_SOURCE_LENGTH, metavar="N",
        help="leave out pairs with more tokens on either side; the model refuses longer sources",
    )  # fmt: skip
    option("--stream", action="store_true", help="read the pairs from the file batch by batch")
    add_validation(group, "pairs")
    option(
        "--monitor", choices=_METRICS,
        help="metric that selects the best weights (default: valid_loss)",
    )  # fmt: skip


def _add_model(group: Group) -> None:
    option = group.add_argument
    add_cell(group, hidden=256)
    option(
        "--layers", "--encoder-layers", type=int, default=1, metavar="N",
        help="number of recurrent layers of the encoder",
    )  # fmt: skip
    option(
        "--decoder-layers", type=int, metavar="N",
        help="number of recurrent layers of the decoder (default: --layers)",
    )  # fmt: skip
    option("--bidirectional", action="store_true", help="use a bidirectional encoder")
    option("--reverse", action="store_true", help="reverse the sources")
    option(
        "--bridge", choices=("none", *BRIDGES), default="none",
        help="map from the encoder's final state to the decoder's initial state",
    )  # fmt: skip
    option("--hidden-only", action="store_true", help="pass h of an LSTM to the decoder, but not c")
    option(
        "--peeky", action="store_true",
        help="feed the encoder's final state to the decoder at every step",
    )  # fmt: skip
    option("--attention", choices=("none", *SCORES), default="dot", help="attention score function")
    option("--heads", type=int, default=1, metavar="N", help="heads of --attention multi_head")
    option(
        "--context", choices=CONTEXTS, default="output",
        help="where the decoder uses the attention context",
    )  # fmt: skip
    option(
        "--readout", choices=READOUTS, default="concat",
        help="how the attention context and the state are combined for the output layer",
    )  # fmt: skip
    option(
        "--readout-size", type=int, metavar="R",
        help="output size of --readout tanh (default: --hidden)",
    )  # fmt: skip
    option(
        "--tie-embeddings", action="store_true",
        help="use the target embedding in the output layer, too",
    )  # fmt: skip
    option(
        "--sampling-rate", type=float, metavar="P",
        help="scheduled sampling: probability of feeding the decoder its own previous token",
    )  # fmt: skip
    option(
        "--sampling-decay", choices=_DECAYS, default="constant",
        help="change of the sampling rate over the epochs: linear from 0 to --sampling-rate, or "
        "inverse-sigmoid from 0 to 1",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    checkpoint = checkpoint_path(arguments, arguments.pairs, arguments.valid)
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
        min_count=arguments.min_count,
        max_source_length=arguments.max_length,
        cell=arguments.cell,
        num_layers=arguments.layers,
        decoder_layers=arguments.decoder_layers,
        attention=None if arguments.attention == "none" else arguments.attention,
        num_heads=arguments.heads,
        context=arguments.context,
        readout=arguments.readout,
        readout_size=arguments.readout_size,
        bridge=None if arguments.bridge == "none" else arguments.bridge,
        peeky=arguments.peeky,
        reverse_source=arguments.reverse,
        bidirectional_encoder=arguments.bidirectional,
        hidden_only=arguments.hidden_only,
        dropout=arguments.dropout,
        embedding_dropout=arguments.embedding_dropout,
        recurrent_dropout=arguments.recurrent_dropout,
        residual=arguments.residual,
        tie_embeddings=arguments.tie_embeddings,
        label_smoothing=arguments.label_smoothing,
        sampling_rate=0.0 if sampling else arguments.sampling_rate or 0.0,
        rng=arguments.seed,
    )
    options: dict[str, Any] = {
        "batch_size": arguments.batch_size,
        "bucket": True,
        "stream": arguments.stream,
    }
    run_training(
        arguments,
        translator.model,
        translator.batches(train, seed=arguments.seed, **options),
        checkpoint,
        data={
            "digest of the pairs": digest_of_pairs(train),
            "digest of the validation pairs": digest_of_pairs(valid),
        },
        validate=_validation(translator, valid, options) if len(valid) else None,
        metric=arguments.monitor or "valid_loss",
        sampling=sampling,
    )
    save_model(translator.save, arguments.output, checkpoint)


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
    counts = [len if level == "char" else _count_words for level in levels]
    longest = arguments.max_length
    short = (
        all(count(side) <= longest for count, side in zip(counts, pair, strict=True))
        for pair in pairs
    )
    rows = np.flatnonzero(np.fromiter(short, bool, len(pairs)))
    if len(rows) == len(pairs):
        return pairs
    if not len(rows):
        raise ValueError(f"{path}: no pair has at most {longest} tokens on each side")
    left_out = len(pairs) - len(rows)
    print(f"{path}: {left_out} of {len(pairs)} pairs left out, as too long", file=sys.stderr)
    return Subset(pairs, rows)


def _count_words(text: str) -> int:
    return len(text.split())


def _validation(translator: Translator, pairs: Pairs, options: dict[str, Any]) -> Validate[Seq2Seq]:
    batches = translator.batches(pairs, shuffle=False, **options)

    def validate(model: Seq2Seq) -> dict[str, float]:
        scores = model.token_scores(batches)
        return {
            "valid_loss": scores.loss,
            "token_accuracy": scores.accuracy,
            "exact_match": model.accuracy(batches),
        }

    return validate
