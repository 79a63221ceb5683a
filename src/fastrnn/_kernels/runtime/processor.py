"""What a processor is to the kernels: its registers and caches, and the plan that follows.

`FASTRNN_CACHES=32K,512K,8M` names other sizes of L1, L2 and L3 than those found. No result depends
on a plan: it cuts long sums, which go on where they were cut, and changes no order.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


class Caches(NamedTuple):
    """Bytes of the caches: of a core's L1 and L2, and of the L3, which cores share."""

    l1: int
    l2: int
    l3: int


class Plan(NamedTuple):
    """How products are cut; the first four are fr_plan in simd/fastrnn_simd.h."""

    depth: int
    rows: int
    near: int
    fetch: bool
    joined_bytes: int  # weights up to which x joins the product of every step


class Kind(NamedTuple):
    """A kind of processor, from so many registers and so large an L2 on, and what is best on it."""

    registers: int
    l2: int
    rows: int
    near: int
    fetch: bool


# A processor is the first kind that it reaches. The figures are ratios of time, of LSTM inference
# with frozen weights on one thread if nothing else is said.
KINDS = (
    # Zen 4. With `fetch` / without 1.00 to 1.03, for two rows 1.10. Rows 6: 1.02, 24: 1.01, 96: 1.
    Kind(registers=32, l2=1 << 20, rows=96, near=0, fetch=False),
    # Zen 4 held to AVX2. With `fetch` / without: H=1024 0.64, H=650 0.74, H=512 0.87, N=4 H=512
    # 0.77, H=256 and less 1.00. Rows 12: 1.00, 24: 0.99, 48 and 96: 0.98. Near 0: 1, 8: 1.00,
    # 24: 0.98, 48: 0.97.
    # Zen 3, prototypes of the tile alone in GF/s. Near 0 and 24: 66 and 73 at depth 512, 71 and 77
    # at 1024; without and with `fetch`: 82 and 88.
    Kind(registers=0, l2=0, rows=48, near=24, fetch=True),
)
REGISTERS = {"avx512": 32, "neon": 32}  # of vectors; other instruction sets have 16

# Where Linux tells the caches of the first processor; elsewhere, and where it does not, they are
# taken for small ones, as what fits those fits others.
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNKNOWN = Caches(32 << 10, 256 << 10, 4 << 20)
_SIZE = re.compile(r"([1-9][0-9]{0,6})([KM]?)", re.ASCII)


def find_caches() -> Caches:
    """Return the sizes that `FASTRNN_CACHES` names, else those of this machine."""
    named = os.environ.get("FASTRNN_CACHES", "")
    return parse_caches(named) if named else machine_caches()


def machine_caches() -> Caches:
    """Return the sizes that the system tells, or small ones."""
    try:
        return _caches_in(_CACHES)
    except (OSError, ValueError):
        return _UNKNOWN


def parse_caches(text: str) -> Caches:
    """Read sizes such as ``32K,512K,8M``.

    Raises
    ------
    ValueError
        If these are not three sizes.
    """
    parts = text.split(",")
    try:
        l1, l2, l3 = map(_bytes, parts)
    except ValueError:
        raise ValueError(
            f"FASTRNN_CACHES must be the sizes of L1, L2 and L3, as 32K,512K,8M, got {text!r}"
        ) from None
    return Caches(l1, l2, l3)


def plan_for(simd: str, itemsize: int, caches: Caches) -> Plan:
    """Return the plan of products of numbers of so many bytes.

    Six rows of a block of depth leave a quarter of the L1 for what they meet: on a Zen 3, tiles of
    six rows made 82 GF/s at a depth of 650 and 57 at 1300.
    """
    registers = REGISTERS.get(simd, 16)
    kind = next(kind for kind in KINDS if registers >= kind.registers and caches.l2 >= kind.l2)
    depth = max(32, caches.l1 * 3 // 4 // (6 * itemsize))
    return Plan(depth, kind.rows, kind.near, kind.fetch, caches.l2 // 2)


def _caches_in(folder: Path) -> Caches:
    """Read what a folder of the system says of each level, and assume the rest."""
    found = {}
    for index in folder.glob("index[0-9]"):
        level, kind, size = (
            (index / name).read_text().strip() for name in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"l{level}"] = _bytes(size)
    return _UNKNOWN._replace(**{name: found[name] for name in found.keys() & set(Caches._fields)})


def _bytes(size: str) -> int:
    """Read a size such as ``32K``."""
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        raise ValueError(f"{size!r} is not a size")
    return int(match[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20}[match[2]]
