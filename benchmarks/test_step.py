"""How long does one time step take from Python?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_step = comparison("step", SELECTION["step"])
