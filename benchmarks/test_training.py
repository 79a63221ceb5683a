"""How long does a forward and a backward take?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_training = comparison("training", SELECTION["training"])
