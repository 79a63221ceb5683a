"""How long does it take to find the best targets of many words?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_beam_search = comparison("beam_search", SELECTION["beam_search"])
