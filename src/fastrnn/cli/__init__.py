"""The ``fastrnn`` command: one file a command; this one finds it and words the errors."""

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

    That is 0, 2 after an error, 130 after Ctrl-C, and 1 where the reader of the output has left.
    """
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


def _parser() -> Parser:
    parser = Parser(prog="fastrnn", description="Recurrent networks on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
