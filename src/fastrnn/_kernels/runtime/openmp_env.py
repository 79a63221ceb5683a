"""How OpenMP's threads wait for work: briefly awake, then asleep.

By default GNU's OpenMP spins for milliseconds. That gains little on a quiet machine, and on a busy
one the spinning threads take the processor from those that they wait for: with one other process
on two cores a training step of the demo took 21 ms, 13 with this setting, 10 with one thread. The
library reads its setting once, when it is loaded, so it is put into the environment for just that
moment. Whoever sets ``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` keeps what he set.
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
