"""How long do cells take that are written in the language of cells, with and without gradients?"""

from __future__ import annotations

from cases import WRITTEN, Recurrent
from harness import comparison

SMALL = [Recurrent(cell, 16, 10, 64, 64) for cell in WRITTEN]

test_inference_of_written_cells = comparison("inference", SMALL)
test_training_of_written_cells = comparison("training", SMALL)
