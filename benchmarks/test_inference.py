"""How long does a whole sequence take, without gradients?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_inference = comparison("inference", SELECTION["inference"])
