"""The processor: its microarchitecture, also where a virtual machine hides its name, and cores."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Container
from functools import cache
from typing import NamedTuple

AMD, INTEL = "AuthenticAMD", "GenuineIntel"
_ANY = range(256)


class _Row(NamedTuple):
    """The numbers by which processors of a microarchitecture call themselves."""

    name: str
    vendor: str
    family: int
    models: Container[int]
    steppings: Container[int] = _ANY


_MICROARCHITECTURES = [
    _Row("zen1", AMD, 23, {*range(0x30), *range(0x50, 0x60)}),
    _Row("zen2", AMD, 23, _ANY),
    _Row("zen3", AMD, 25, {*range(0x10), *range(0x20, 0x60)}),
    _Row("zen4", AMD, 25, _ANY),
    _Row("zen5", AMD, 26, {*range(0x30), *range(0x40, 0x50), *range(0x60, 0x80)}),
    _Row("haswell", INTEL, 6, {0x3C, 0x3F, 0x45, 0x46}),
    _Row("broadwell", INTEL, 6, {0x3D, 0x47, 0x4F, 0x56}),
    _Row("skylake", INTEL, 6, {0x4E, 0x5E, 0x8E, 0x9E, 0xA5, 0xA6}),
    _Row("skylake-sp", INTEL, 6, {0x55}, range(5)),
    _Row("cascade-lake", INTEL, 6, {0x55}, range(5, 10)),
    _Row("cooper-lake", INTEL, 6, {0x55}, range(10, 16)),
    _Row("ice-lake", INTEL, 6, {0x6A, 0x6C, 0x7D, 0x7E}),
    _Row("tiger-lake", INTEL, 6, {0x8C, 0x8D}),
    _Row("rocket-lake", INTEL, 6, {0xA7}),
    _Row("sapphire-rapids", INTEL, 6, {0x8F}),
    _Row("emerald-rapids", INTEL, 6, {0xCF}),
    _Row("granite-rapids", INTEL, 6, {0xAD, 0xAE}),
    _Row("alder-lake", INTEL, 6, {0x97, 0x9A, 0xBE}),
    _Row("raptor-lake", INTEL, 6, {0xB7, 0xBA, 0xBF}),
    _Row("meteor-lake", INTEL, 6, {0xAA, 0xAC}),
    _Row("lunar-lake", INTEL, 6, {0xBD}),
    _Row("arrow-lake", INTEL, 6, {0xB5, 0xC5, 0xC6}),
]


class Processor(NamedTuple):
    """What lscpu tells."""

    told: dict[str, str]

    @property
    def cores(self) -> int:
        return int(self.told.get("Core(s) per socket", 1)) * int(self.told.get("Socket(s)", 1))

    @property
    def microarchitecture(self) -> str:
        """Its name in the table above or, if it is not there, its numbers or the model's name."""
        try:
            numbers = [int(self.told[key]) for key in ("CPU family", "Model", "Stepping")]
        except (KeyError, ValueError):  # not an x86 processor
            return _slug(self.told.get("Model name", platform.machine()))
        family, model, stepping = numbers
        vendor = self.told.get("Vendor ID", "")
        for row in _MICROARCHITECTURES:
            if (row.vendor, row.family) != (vendor, family):
                continue
            if model in row.models and stepping in row.steppings:
                return row.name
        return _slug(f"{vendor} {family} {model}")

    def page(self, simd: str) -> str:
        """The name of the page of this processor on an instruction set."""
        return f"{self.microarchitecture}-{self.cores}-core{'s' * (self.cores > 1)}-{simd}"

    def __str__(self) -> str:
        name = self.told.get("Model name", platform.machine())
        return f"{name} ({self.microarchitecture}), {self.cores} core{'s' * (self.cores > 1)}"


@cache
def here() -> Processor:
    """The processor of this machine."""
    try:
        english = os.environ | {"LC_ALL": "C"}
        done = subprocess.run(["lscpu"], env=english, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return Processor({})
    lines = [line.split(":", 1) for line in done.stdout.splitlines() if ":" in line]
    return Processor({key.strip(): value.strip() for key, value in lines})


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
