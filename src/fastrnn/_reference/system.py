"""What NumPy runs on, in the words of the kernels, for an installation without them."""

from __future__ import annotations

from typing import Any

from fastrnn import _check as check


def set_num_threads(num_threads: int) -> None:
    """Check a number of threads, of which NumPy's backend uses one.

    Raises
    ------
    ValueError
        If `num_threads` is not a positive integer.
    """
    try:
        check.size("set_num_threads", "num_threads", num_threads)
    except (TypeError, ValueError):
        wanted = "an integer of at least 1"
        raise ValueError(
            f"set_num_threads: num_threads must be {wanted}, got {num_threads!r}"
        ) from None


def get_num_threads() -> int:
    """Return how many threads NumPy's backend uses: 1, besides those of NumPy's products."""
    return 1


def cpu_info() -> dict[str, Any]:
    """Return the facts that the kernels' `cpu_info` has: no instruction set, one thread."""
    return {
        "simd": "none",
        "supported": (),
        "int8": "none",
        "openmp": False,
        "num_threads": 1,
        "caches": {},
        "plan": {},
    }
