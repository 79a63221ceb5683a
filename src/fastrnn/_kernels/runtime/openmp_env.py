"""How OpenMP's threads wait for work: briefly awake, then asleep.

By default GNU's OpenMP spins for milliseconds; docs/decisions.md has the cost. The library reads
its setting once, when it is loaded, so it is put into the environment for just that moment.
Whoever sets ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` keeps what he set.
"""

from __future__ import annotations

import os
from importlib import import_module

SPINS = "1000"  # of a pause instruction each: about 10 microseconds

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        import_module("fastrnn._kernels.runtime.threads")
    finally:
        del os.environ["GOMP_SPINCOUNT"]
