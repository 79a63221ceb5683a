"""How long does attention take, forward and backward?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_attention = comparison("attention", SELECTION["attention"])
