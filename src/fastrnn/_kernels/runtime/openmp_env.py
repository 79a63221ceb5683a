"""How OpenMP's threads wait for work: awake for half a millisecond, then asleep.

By default GNU's OpenMP spins fifteen times as long; docs/decisions.md has the cost. The library
reads its setting once, when it is loaded, so it is put into the environment for just that moment.
Whoever sets ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` keeps what he set.
"""

from __future__ import annotations

import os
from importlib import import_module

SPINS = "20000"  # of a pause instruction each: 25 nanoseconds on Zen 4, 45 on Ice Lake

if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
    os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        import_module("fastrnn._kernels.runtime.threads")
    finally:
        del os.environ["GOMP_SPINCOUNT"]
