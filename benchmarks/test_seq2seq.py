"""How long does a whole training step take: loss, gradients, clipping and Adam?"""

from __future__ import annotations

from grid import SELECTION
from harness import comparison

test_seq2seq = comparison("seq2seq", SELECTION["seq2seq"])
