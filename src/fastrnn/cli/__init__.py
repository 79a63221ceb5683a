"""The `fastrnn` command: one file per subcommand; this one parses and reports errors."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TextIO

import fastrnn
from fastrnn._printable import escaped
from fastrnn.cli import demo, evaluate, info, lm, train, translate
from fastrnn.cli.arguments import Parser
from fastrnn.cli.messages import Incomplete, one_line_warnings, report, say

_COMMANDS = (demo, train, translate, evaluate, lm, info)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    The code is 0, 2 after an error, 130 after Ctrl-C, or 1 if the work was done only in part: a
    training diverged, some lines could not be translated, or the output pipe was closed.
    """
    if sys.stderr is None:  # closed
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process lives
    try:
        try:
            arguments = _parser().parse_args(argv)
        except SystemExit as done:  # --help, --version, a wrong option
            raise SystemExit(_with_output(int(done.code or 0))) from None
        except OSError as error:  # of the message, which argparse writes; Python 3.10 lets it out
            raise SystemExit(_complain(f"{_stream()}: {error.strerror}")) from None
        if sys.stdout is None:
            return _complain("standard output is closed")
        return _with_output(_run(arguments))
    finally:
        _unwritten(sys.stderr)


def _with_output(code: int) -> int:
    """Write what standard output still holds; return the exit code with this counted."""
    unwritten = None if sys.stdout is None else _unwritten(sys.stdout)
    if unwritten is None or code:
        return code
    if isinstance(unwritten, BrokenPipeError):
        return 1
    return _complain(f"standard output: {unwritten.strerror}")


def _run(arguments: Namespace) -> int:
    try:
        with one_line_warnings():
            if arguments.threads is not None:
                fastrnn.set_num_threads(arguments.threads)
            arguments.run(arguments)
    except BrokenPipeError:  # a reader has left (``| head``)
        return 1
    except OSError as error:
        where = escaped(str(error.filename)) if error.filename else _stream()
        return _complain(f"{where}: {error.strerror or error}")
    except (FloatingPointError, Incomplete) as error:
        return _complain(error, code=1)
    except (ValueError, TypeError, ImportError) as error:
        return _complain(error)
    except MemoryError as error:
        return _complain(str(error) or "out of memory")
    except KeyboardInterrupt as interrupt:
        say(f"fastrnn: {str(interrupt) or 'interrupted'}")
        return 130
    return 0


def _stream() -> str:
    """Name the standard stream that an error without a file is about."""
    return "standard output" if _unwritten(sys.stdout) else "standard input or output"


def _unwritten(stream: TextIO) -> OSError | None:
    """Flush the stream; where this fails, discard the rest, and return the error.

    Otherwise Python would fail at exit, with an exit code of its own.
    """
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def _complain(error: object, *, code: int = 2) -> int:
    report(error)
    return code


def _parser() -> Parser:
    parser = Parser(prog="fastrnn", description="Train and run recurrent networks on a CPU.")
    parser.add_argument("--version", action="version", version=f"fastrnn {fastrnn.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
