"""What the kernels run on, in words."""

from __future__ import annotations

from typing import TypedDict

from fastrnn._kernels.runtime.cpu import caches, chosen, int8_way, plan, supported
from fastrnn._kernels.runtime.threads import get_num_threads, has_openmp, set_num_threads

__all__ = ["CPUInfo", "cpu_info", "get_num_threads", "set_num_threads"]


class CPUInfo(TypedDict):
    """The answer of `cpu_info`."""

    simd: str
    supported: tuple[str, ...]
    int8: str
    openmp: bool
    num_threads: int
    caches: dict[str, int]
    plan: dict[str, int]


def cpu_info() -> CPUInfo:
    """Return the instruction set, threads and caches that the kernels use.

    Returns
    -------
    dict
        ``simd``: the instruction set in use (``FASTRNN_SIMD`` chooses another); ``supported``:
        those of this build that this machine runs, best first; ``int8``: how products of weights of
        8 bits are made with it; ``openmp``: whether the build has threads; ``num_threads``: how
        many are used; ``caches``: bytes of L1, L2 and L3 (``FASTRNN_CACHES``, as ``32K,512K,8M``,
        names others); ``plan``: how products of float32 are cut for them. No result depends on the
        last two.
    """
    return {
        "simd": chosen(),
        "supported": supported(),
        "int8": int8_way(),
        "openmp": has_openmp(),
        "num_threads": get_num_threads(),
        "caches": caches()._asdict(),
        "plan": plan()._asdict(),
    }
