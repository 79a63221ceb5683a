"""The ``fastrnn`` command: parses arguments, calls the library, words the errors."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np

import fastrnn
from fastrnn import demo
from fastrnn.data import PairBatches, read_pairs, split
from fastrnn.models import Seq2Seq, Translator
from fastrnn.models.base import CELLS
from fastrnn.models.serialization import check_writable
from fastrnn.ops._backend import choose
from fastrnn.ops.attention import SCORES
from fastrnn.training import Adam, Trainer, mean_loss

ATTENTION = ("none", *SCORES)
LINES_AT_ONCE = 64

Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 2 after an error, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.threads is not None:
            fastrnn.set_num_threads(arguments.threads)
        arguments.run(arguments)
    except BrokenPipeError:
        # The reader has left (`| head`); what Python still flushes at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else error)
    except (ValueError, TypeError, FloatingPointError, ImportError) as error:
        return _complain(error)
    except MemoryError as error:
        return _complain(str(error) or "out of memory")
    except KeyboardInterrupt as interrupt:
        print(f"fastrnn: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


def _complain(error: object) -> int:
    print("fastrnn: error:", *str(error).splitlines()[:1], file=sys.stderr)
    return 2


def run_demo(arguments: argparse.Namespace) -> None:
    """``fastrnn demo``."""
    demo.run(
        epochs=arguments.epochs,
        count=arguments.count,
        hidden_size=arguments.hidden,
        seed=arguments.seed,
        rounds=arguments.rounds,
        out_dir=arguments.out_dir,
    )


def run_train(arguments: argparse.Namespace) -> None:
    """``fastrnn train``."""
    checkpoint = _checkpoint(arguments)
    pairs = read_pairs(arguments.pairs)
    fraction = arguments.valid_fraction
    train, valid = split(pairs, fraction, seed=arguments.seed) if fraction else (pairs, [])
    translator = Translator.from_pairs(
        train,
        arguments.embedding,
        arguments.hidden,
        level="word" if arguments.words else "char",
        cell=arguments.cell,
        num_layers=arguments.layers,
        attention=None if arguments.attention == "none" else arguments.attention,
        peeky=arguments.peeky,
        reverse_source=arguments.reverse,
        bidirectional_encoder=arguments.bidirectional,
        dropout=arguments.dropout,
        rng=arguments.seed,
    )
    trainer = Trainer(
        translator.model,
        Adam(arguments.lr),
        max_grad_norm=arguments.clip,
        patience=arguments.patience,
        metric="valid_loss" if valid else None,
        checkpoint=checkpoint,
    )
    if arguments.resume:
        trainer.resume(checkpoint)
    size = arguments.batch_size
    trainer.fit(
        translator.batches(train, batch_size=size, bucket=True, seed=arguments.seed),
        epochs=arguments.epochs,
        validate=_validation(translator.batches(valid, batch_size=size)) if valid else None,
    )
    translator.save(arguments.output)
    print(f"model written to {arguments.output}; the run so far is in {checkpoint}")


def _checkpoint(arguments: argparse.Namespace) -> Path:
    """Path of the checkpoint, once it is sure that this and the output can be written."""
    pairs, output = arguments.pairs, arguments.output
    check_writable(output)
    checkpoint: Path = arguments.checkpoint or output.with_suffix(".checkpoint")
    check_writable(checkpoint)
    if len({path.resolve() for path in (pairs, output, checkpoint)}) < 3:
        raise ValueError(
            "train: pairs, output and checkpoint must be three files, "
            f"got {pairs}, {output} and {checkpoint}"
        )
    return checkpoint


def _validation(batches: PairBatches) -> Callable[[Seq2Seq], dict[str, float]]:
    return lambda model: {
        "valid_loss": mean_loss(model, batches),
        "exact_match": model.accuracy(batches),
    }


def run_translate(arguments: argparse.Namespace) -> None:
    """``fastrnn translate``."""
    translator = Translator.load(arguments.model)
    texts = iter(arguments.text or (line.rstrip("\r\n") for line in sys.stdin))
    # Someone who types wants the answer to each line at once; a file goes faster in batches.
    at_once = 1 if sys.stdin.isatty() else LINES_AT_ONCE
    while group := list(islice(texts, at_once)):
        for answer in translator(group, max_length=arguments.max_length):
            print(answer, flush=True)


def run_info(arguments: argparse.Namespace) -> None:
    """``fastrnn info``."""
    facts = {
        "fastrnn": fastrnn.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "backend": choose(),
        **fastrnn.cpu_info(),
    }
    for name, value in facts.items():
        print(f"{name}: {value}")


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, like all others of the command."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fastrnn: error: {message}\n")


def _at_least(least: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    return integer


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastrnn", description="Recurrent networks on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_demo, _add_train, _add_translate, _add_info):
        add(commands)
    return parser


def _add(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=run)
    command.add_argument("--threads", type=int, help="number of threads to use")
    return command


def _add_demo(commands: Commands) -> None:
    command = _add(commands, "demo", run_demo, "learn to rewrite dates with attention")
    command.add_argument("--epochs", type=_at_least(1), default=4, help="epochs to train")
    command.add_argument("--count", type=_at_least(1), default=50_000, help="number of dates")
    command.add_argument("--hidden", type=int, default=128, help="width of the layers")
    command.add_argument("--seed", type=_at_least(0), default=0, help="seed of everything random")
    command.add_argument("--rounds", type=_at_least(1), default=5, help="training steps to time")
    command.add_argument(
        "--out-dir", type=Path, default=Path(), help="folder for the model and the picture"
    )


def _add_train(commands: Commands) -> None:
    command = _add(commands, "train", run_train, "train a translation model on pairs of texts")
    command.add_argument("pairs", type=Path, metavar="PAIRS.tsv", help="source, tab, target")
    command.add_argument(
        "-o", "--output", type=Path, default=Path("model.safetensors"), help="file to write"
    )
    level = command.add_mutually_exclusive_group()
    level.add_argument("--chars", action="store_true", help="tokens are characters, as by default")
    level.add_argument("--words", action="store_true", help="tokens are words")

    model = command.add_argument_group("model")
    model.add_argument("--cell", choices=list(CELLS), default="lstm", help="recurrent cell")
    model.add_argument("--hidden", type=int, default=256, help="width of the recurrent layers")
    model.add_argument("--embedding", type=int, default=64, help="width of the embeddings")
    model.add_argument("--layers", type=int, default=1, help="number of recurrent layers")
    model.add_argument("--attention", choices=ATTENTION, default="dot", help="attention score")
    model.add_argument("--peeky", action="store_true", help="show the source at every step")
    model.add_argument("--reverse", action="store_true", help="read the source backwards")
    model.add_argument("--bidirectional", action="store_true", help="read it both ways")
    model.add_argument("--dropout", type=float, default=0.0, help="probability of dropping")

    training = command.add_argument_group("training")
    training.add_argument("--epochs", type=_at_least(1), default=10, help="epochs to train in all")
    training.add_argument("--batch-size", type=int, default=128, help="pairs in a batch")
    training.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    training.add_argument("--clip", type=float, default=5.0, help="largest norm of the gradients")
    training.add_argument(
        "--valid-fraction", type=float, default=0.1, help="share held out; 0 for none"
    )
    training.add_argument(
        "--patience", type=int, help="stop after so many epochs without a lower loss"
    )
    training.add_argument("--seed", type=_at_least(0), default=0, help="seed of everything random")
    training.add_argument("--checkpoint", type=Path, help="default: OUTPUT, ending in .checkpoint")
    training.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint (with the same options)"
    )


def _add_translate(commands: Commands) -> None:
    command = _add(commands, "translate", run_translate, "translate texts with a trained model")
    command.add_argument("model", type=Path, help="file that `fastrnn train` wrote")
    command.add_argument("text", nargs="*", metavar="TEXT", help="else standard input, by lines")
    command.add_argument("--max-length", type=int, default=100, help="most tokens of an answer")


def _add_info(commands: Commands) -> None:
    _add(commands, "info", run_info, "show versions, backend, instruction set and threads")
