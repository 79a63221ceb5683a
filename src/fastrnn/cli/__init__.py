"""The `fastrnn` command: one file per subcommand; this one parses and reports errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import fastrnn
from fastrnn.cli import demo, evaluate, info, lm, train, translate
from fastrnn.cli.arguments import Parser

_COMMANDS = (demo, train, translate, evaluate, lm, info)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    The code is 0, 2 after an error, 130 after Ctrl-C, or 1 if the output pipe was closed.
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.threads is not None:
            fastrnn.set_num_threads(arguments.threads)
        arguments.run(arguments)
    except BrokenPipeError:
        # The pipe was closed (``| head``): discard what Python still flushes at exit.
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


def _parser() -> Parser:
    parser = Parser(prog="fastrnn", description="Train and run recurrent networks on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
