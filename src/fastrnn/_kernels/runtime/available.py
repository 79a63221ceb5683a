"""How many processors the process may use: those of its affinity, and its cgroups' quota of time.

A container with a quota sees every processor of its machine. More threads than the quota are all
stopped for the rest of each period once they have used it up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def processors(root: Path = Path("/")) -> int:
    """Return the number of processors that the process may keep busy, at least 1.

    `root` is the folder with `proc` and `sys`.
    """
    return max(1, min([affinity(), *map(int, _quotas(root))]))


def affinity() -> int:
    """Return the number of processors on which the process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota of the process's cgroup and of each above it, in processors."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                read, mounts = _quota_v2, ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
            elif "cpu" in controllers.split(","):
                read, mounts = _quota_v1, [f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu"]
            else:
                continue
            # In a container the root that it sees may be its own cgroup, whatever the path says.
            folder = Path(path.lstrip("/"))
            for mount in mounts:
                for place in (folder, *folder.parents):
                    with suppress(OSError, ValueError):
                        yield from read(root / mount / place)


def _quota_v2(folder: Path) -> Iterator[float]:
    quota, period = (folder / "cpu.max").read_text().split()
    if quota != "max":
        yield int(quota) / int(period)


def _quota_v1(folder: Path) -> Iterator[float]:
    quota = int((folder / "cpu.cfs_quota_us").read_text())
    if quota > 0:
        yield quota / int((folder / "cpu.cfs_period_us").read_text())
