"""Times cells that are written in the language of cells beside PyTorch and JAX; prints a table.

python benchmarks/cells.py --threads 1 2 --rounds 9
"""

from __future__ import annotations

import argparse

from grid import WRITTEN_CELLS
from machine import facts
from measure import Effort, timed
from records import COMPILED, FROZEN, JAX, LOOP, PLAIN, Record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads of each")
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds")
    parser.add_argument("--sample", type=float, default=0.05, help="least seconds of a sample")
    parser.add_argument("--only", default="", help="cases that begin so")
    options = parser.parse_args()
    print(*(f"{what}: {value}" for what, value in facts().items()), sep="\n", end="\n\n")
    print("| question | case | threads | ours / best | ours / PyTorch, compiled | ours / JAX |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    effort = Effort(options.rounds, options.sample)
    for threads in options.threads:
        for question in ("inference", "training"):
            for case in WRITTEN_CELLS:
                if str(case).startswith(options.only):
                    print(row(timed(question, case, threads, effort)), flush=True)


def row(record: Record) -> str:
    """One line of the table."""
    found = record.figures
    ours = found.get(FROZEN, found[PLAIN])
    beside = [
        f"{ours / found[name]:.2f}" if name in found else "" for name in (LOOP, COMPILED, JAX)
    ]
    loop, compiled, jax = beside
    ratio = f"{record.ratio:.2f}" if record.ratio is not None else ""
    line = [record.question, record.case, str(record.threads), ratio, f"{loop}, {compiled}", jax]
    return f"| {' | '.join(line)} |"


if __name__ == "__main__":
    main()
