"""Digests of all that fastrnn computes, to prove that a refactoring changes no bit of it.

``python tests/tools/digest.py FILE`` writes a line "name sha256" for each output and gradient of
every operation, cell, layer, model and decoding: on the compiled kernels for every instruction set
of the machine with 1, 2 and 3 threads, and on the reference, in float32 and float64. It returns 1
if a result depends on the number of threads.

``python tests/tools/digest.py --compare A B`` prints the first names that differ or are missing,
and returns 1 if there are any. Both files must come from the same machine and the same packages.

``--parts avx2 reference`` limits both to some instruction sets or to the reference. To digest
another tree than the installed one: ``PYTHONPATH=path/to/src``. ``--threads 1`` is quicker, and its
names are the same: a number of threads is in a name ("@2") only where it makes a difference.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module, util
from pathlib import Path

from digests.record import Cases, digests

import fastrnn

THREADS = (1, 2, 3)
DTYPES = ("float32", "float64")
MODULES = ("maps", "cells", "decoders", "layers", "models", "training", "conversion", "textbook")
SINGLE = {"textbook": "float32"}  # modules of one dtype
SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="where to write the digests")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"))
    parser.add_argument(
        "--parts", nargs="+", help="only these instruction sets, and 'reference' for the reference"
    )
    parser.add_argument("--threads", nargs="+", type=int, default=THREADS, help="default: 1 2 3")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # what one process computes
    options = parser.parse_args()
    if options.compare:
        return compare(*options.compare, options.parts)
    if options.file is None:
        parser.error("FILE or --compare A B is needed")
    if options.part:
        options.file.write_text(
            "".join(f"{line}\n" for line in part(options.part, options.threads))
        )
        return 0
    return write(options.file, options.parts, options.threads)


def write(file: Path, parts: list[str] | None, threads: Sequence[int]) -> int:
    """Run a process for each instruction set and one for the reference; write what they found."""
    start = time.perf_counter()
    parts = parts or [*fastrnn.cpu_info()["supported"], "reference"]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        files = [Path(folder, name) for name in parts]
        texts = pool.map(partial(in_process, threads=threads), parts, files)
        file.write_text("".join(texts))
    names = digests_in(file)
    whole = hashlib.sha256(file.read_bytes()).hexdigest()
    print(f"{file}: {len(names)} arrays, {whole}, {time.perf_counter() - start:.0f} s")
    print(f"of {', '.join(parts)}; not covered: {', '.join(missing()) or 'nothing'}")
    return report("depend on the number of threads", [name for name in names if "@" in name])


def in_process(name: str, file: Path, threads: Sequence[int]) -> str:
    """Digest one part in a process of its own, and return the lines."""
    environment = dict(os.environ)
    for variable in ("FASTRNN_BACKEND", "FASTRNN_NUM_THREADS", "OMP_NUM_THREADS"):
        environment.pop(variable, None)
    environment |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if name != "reference":
        environment["FASTRNN_SIMD"] = name
    command = [sys.executable, __file__, str(file), "--part", name, "--threads", *map(str, threads)]
    subprocess.run(command, env=environment, check=True)
    return file.read_text()


def part(name: str, threads: Sequence[int]) -> Iterator[str]:
    """Yield the lines of an instruction set or of the reference."""
    if name == "reference":
        with fastrnn.backend("reference"):
            yield from matrix("reference", (1,), large=False)  # those are for threads
        return
    used = fastrnn.cpu_info()["simd"]
    if used != name:
        raise RuntimeError(f"the instruction set must be {name}, got {used}")
    yield from matrix(f"compiled/{name}", threads, large=True)


def matrix(prefix: str, threads: Sequence[int], *, large: bool) -> Iterator[str]:
    """Yield the lines for all modules and dtypes; PyTorch comes last, as its threads spin."""
    for module in (*MODULES, *(() if "torch" in missing() else ("torch_modules",))):
        every = import_module(f"digests.{module}").cases()
        cases = [case for case in every if large or "/large" not in case[0]]
        for dtype in DTYPES:
            if SINGLE.get(module, dtype) == dtype:
                yield from lines(f"{prefix}/{dtype}/{module}", cases, dtype, threads)


def lines(prefix: str, cases: Cases, dtype: str, threads: Sequence[int]) -> Iterator[str]:
    """Yield the lines with the first number of threads, and those that others make different."""
    first: dict[str, str] = {}
    for count in threads:
        fastrnn.set_num_threads(count)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(count)  # which its modules ask
        for name, digest in digests(cases, dtype):
            if first.setdefault(name, digest) != digest:
                yield f"{prefix}/{name}@{count} {digest}"
    yield from (f"{prefix}/{name} {digest}" for name, digest in first.items())


def missing() -> list[str]:
    """Packages without which some cases do not run."""
    return [name for name in ("onnx", "torch") if util.find_spec(name) is None]


def digests_in(file: Path) -> dict[str, str]:
    """The digests in a file, by name."""
    lines = file.read_text().splitlines()
    digests = dict(line.rsplit(" ", 1) for line in lines)
    if len(digests) != len(lines):
        raise ValueError(f"{file}: a name occurs twice")
    return digests


def compare(first: Path, second: Path, parts: list[str] | None) -> int:
    """Print what is not the same in both files, or in these parts of both."""
    a, b = (of_parts(digests_in(file), parts) for file in (first, second))
    differing = [name for name in a if name in b and a[name] != b[name]]
    result = report(f"differ, of {len(a.keys() & b.keys())} in both", differing)
    for mine, other, file in ((a, b, second), (b, a, first)):
        result |= report(f"missing in {file}", [name for name in mine if name not in other])
    if not result:
        print(f"the same: {len(a)} arrays")
    return result


def of_parts(digests: dict[str, str], parts: list[str] | None) -> dict[str, str]:
    """The digests of some parts, or all; there must be some."""
    wanted = [f"{part}/" if part == "reference" else f"compiled/{part}/" for part in parts or ()]
    chosen = {k: v for k, v in digests.items() if parts is None or k.startswith(tuple(wanted))}
    if not chosen:
        raise ValueError(f"there are no digests of {parts or 'any part'}")
    return chosen


def report(what: str, names: list[str]) -> int:
    """Print the first names, if any; return whether there are any."""
    if names:
        print(f"{len(names)} {what}:", *names[:SHOWN], sep="\n  ")
    return int(bool(names))


if __name__ == "__main__":
    sys.exit(main())
