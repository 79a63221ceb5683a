"""The narrower instruction sets, each in a new process in which all libraries are restricted.

python benchmarks/simd.py avx2 --rounds 5 --sample 20    # what the report runs, after `restrict`
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import fastrnn
from grid import GRID, SELECTION
from measure import Effort, timed
from records import FROZEN, PLAIN, PYTORCH, Record, read_record

# Restricts PyTorch, its oneDNN and its MKL to AVX2.
PYTORCH_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def narrower() -> tuple[str, ...]:
    """The instruction sets of this machine below the one of fastrnn."""
    supported: tuple[str, ...] = fastrnn.cpu_info()["supported"]
    return supported[supported.index(fastrnn.cpu_info()["simd"]) + 1 :]


def restricted(simd: str, effort: Effort) -> Iterator[Record]:
    """Time fastrnn on an instruction set and, on AVX2, PyTorch, on one thread."""
    environment = os.environ | {"FASTRNN_SIMD": simd} | (PYTORCH_AVX2 if simd == "avx2" else {})
    arguments = ["--rounds", str(effort.rounds), "--sample", str(effort.sample)]
    command = [sys.executable, __file__, simd, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            yield replace(read_record(json.loads(line)), simd=simd)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with {process.returncode}")


def cases(simd: str) -> Iterator[tuple[str, Any]]:
    """On AVX2 the cases of the grid that PyTorch has, else a selection."""
    chosen = GRID if simd == "avx2" else SELECTION
    for question in ("inference", "training"):
        for case in chosen[question]:
            if simd != "avx2" or case.cell != "gru_before":
                yield question, case


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("simd")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--sample", type=float, required=True, help="seconds")
    options = parser.parse_args()
    peers = [PYTORCH] if options.simd == "avx2" else []
    effort = Effort(options.rounds, options.sample)
    for question, case in cases(options.simd):
        ours = PLAIN if question == "training" else FROZEN
        record = timed(question, case, 1, effort, [ours, *peers])
        print(json.dumps(asdict(record)), flush=True)


if __name__ == "__main__":
    main()
