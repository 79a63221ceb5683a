"""What the process holds."""

from __future__ import annotations

import mmap
from pathlib import Path


def resident_bytes() -> int:
    """What the system gave the process, where it can be read."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * mmap.PAGESIZE if statm.exists() else 0
