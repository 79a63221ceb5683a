"""The facts of the machine: processor, its limits, versions, date."""

from __future__ import annotations

import datetime
import os
import platform

import numpy as np

import fastrnn
import limits
import processors
from contenders import installed
from contenders.fastrnn_compiled import Fastrnn
from fastrnn._kernels.runtime.processor import machine_caches
from rounds import interleaved


def facts() -> dict[str, str]:
    return {
        "processor": str(processors.here()),
        "instruction set": fastrnn.cpu_info()["simd"],
        **_rates(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        **_versions(),
        "measured": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def _versions() -> dict[str, str]:
    return {
        kind.name: kind.version()
        for kind in installed()
        if kind is Fastrnn or not issubclass(kind, Fastrnn)
    }


def _rates() -> dict[str, str]:
    """The machine's limits at the start; they drift."""
    cores = os.cpu_count() or 1
    _, l2, l3 = machine_caches()
    bounds = {
        "multiply-adds, one core": limits.multiply_adds(1),
        f"multiply-adds, {cores} cores": limits.multiply_adds(cores),
        f"reads of {l2 // 2048} kB, in the L2": limits.reads(l2 // 2, 1),
        f"reads of {l3 // 4 >> 20} MB, in the L3": limits.reads(l3 // 4, 1),
    }
    known = {name: bound for name, bound in bounds.items() if bound is not None}
    seconds = interleaved({name: bound.run for name, bound in known.items()}, 9, 0.02, 1)
    units = {name: "GFLOP/s" if "adds" in name else "GB/s" for name in known}
    return {n: f"{b.amount / seconds[n] / 1e9:.0f} {units[n]}" for n, b in known.items()}
